"""A specification as the templates see it: names that are usable in code, and everything that can be derived.

Rule: templates decide nothing; what depends on more than one part of the specification is worked out here.
"""

from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter
from uuid import UUID

from chargehand.crew.blueprint_view_relations import (
    IndexView,
    LinkView,
    OperationView,
    RelationView,
    TransitionView,
)
from chargehand.crew.blueprint_view_resource import ResourceView
from chargehand.crew.specification_model import AuthenticationMethod, Integration, ServiceSpecification

__all__ = [
    "IndexView",
    "LinkView",
    "OperationView",
    "RelationView",
    "ResourceView",
    "ServiceView",
    "TransitionView",
]


@dataclass(frozen=True)
class ServiceView:
    """The whole service."""

    specification: ServiceSpecification

    @property
    def package(self) -> str:
        return self.specification.package

    @property
    def name(self) -> str:
        return self.specification.name

    @property
    def title(self) -> str:
        return self.specification.title

    @property
    def description(self) -> str:
        return self.specification.description or f"{self.specification.title}, a REST service."

    @property
    def environment_prefix(self) -> str:
        return f"{self.package.upper()}_"

    @property
    def is_guarded(self) -> bool:
        return self.specification.authentication.method is not AuthenticationMethod.NONE

    @property
    def is_jwt(self) -> bool:
        return self.specification.authentication.method is AuthenticationMethod.JWT

    @property
    def is_api_key(self) -> bool:
        return self.specification.authentication.method is AuthenticationMethod.API_KEY

    @property
    def roles(self) -> tuple[str, ...]:
        return self.specification.authentication.roles or (("caller",) if self.is_api_key else ())

    @property
    def registration(self) -> str | None:
        return self.specification.authentication.registration

    @property
    def account_class(self) -> str:
        return "Account" if self.is_jwt else "ApiKey"

    @property
    def account_table(self) -> str:
        return "accounts" if self.is_jwt else "api_keys"

    @property
    def integrations(self) -> tuple[Integration, ...]:
        return self.specification.integrations

    @cached_property
    def resources(self) -> list[ResourceView]:
        return [ResourceView(each, self) for each in self.specification.resources]

    def view(self, name: str) -> ResourceView:
        return next(each for each in self.resources if each.name == name)

    @cached_property
    def tables(self) -> list[ResourceView]:
        """Resources in an order in which their tables can be made."""
        graph = {
            each.name: {relation.parent.name for relation in each.relations if not relation.is_self}
            for each in self.resources
        }
        return [self.view(name) for name in TopologicalSorter(graph).static_order()]

    # What only some services need

    @cached_property
    def field_types(self) -> set[str]:
        return {each.field.type.value for resource in self.resources for each in resource.fields}

    @cached_property
    def filter_types(self) -> set[str]:
        return {each.field.type.value for resource in self.resources for each in resource.filter_fields}

    @property
    def has_patterns(self) -> bool:
        return any(each.field.pattern for resource in self.resources for each in resource.fields)

    @property
    def has_filters(self) -> bool:
        return any(each.has_filters for each in self.resources if each.allows("list"))

    @property
    def has_searches(self) -> bool:
        return any(each.search_attributes for each in self.resources)

    @property
    def has_lists(self) -> bool:
        return any(each.allows("list") for each in self.resources)

    @property
    def has_references(self) -> bool:
        return any(each.checks_references or each.links for each in self.resources)

    @property
    def has_relations(self) -> bool:
        return any(each.checks_references for each in self.resources)

    @property
    def has_links(self) -> bool:
        return any(each.links for each in self.resources)

    @property
    def has_limited_references(self) -> bool:
        limits = [
            each.limit for resource in self.resources for each in [*resource.relations, *resource.links]
        ]
        return any(each and "sees_all" in each for each in limits)

    @property
    def has_open_owned(self) -> bool:
        """Whether something that has owners is open to everybody."""
        return any(
            operation.is_public for each in self.resources if each.is_owned for operation in each.operations
        )

    @property
    def needs_today(self) -> bool:
        defaults = [each.field.default for resource in self.resources for each in resource.fields]
        sets = [
            value
            for resource in self.resources
            for move in resource.transitions
            for value in move.transition.sets.values()
        ]
        return any(isinstance(each, str) and each.startswith("today") for each in defaults + sets)

    @property
    def needs_settings_dependency(self) -> bool:
        return self.is_jwt or any(each.passwords for each in self.resources)

    @property
    def runtime_packages(self) -> list[str]:
        """What the service itself imports or is run by."""
        names = ["fastapi", "uvicorn", "uvloop", "httptools", "sqlalchemy[asyncio]", "aiosqlite", "alembic"]
        names += ["pydantic-settings", "limits"] + (["pyjwt"] if self.is_jwt else [])
        return names + (["httpx2"] if self.integrations else [])

    @property
    def has_passwords(self) -> bool:
        return self.is_jwt or any(each.passwords for each in self.resources)

    @property
    def has_owners(self) -> bool:
        return any(each.is_owned for each in self.resources)

    # The tests of the whole service

    @cached_property
    def creating(self) -> ResourceView | None:
        """A resource that can be made, to send bodies to."""
        return next((each for each in self.resources if each.allows("create")), None)

    @property
    def body_path(self) -> str | None:
        return self.creating.path if self.creating else None

    @property
    def body_headers(self) -> str:
        if not self.is_guarded or self.creating is None:
            return ""
        return f', headers=given.headers_for("{self.creating.name}.create")'

    @property
    def body_headers_merged(self) -> str:
        if not self.is_guarded or self.creating is None:
            return ""
        return f' | given.headers_for("{self.creating.name}.create")'

    @property
    def key_request(self) -> tuple[str, str]:
        """A request that needs a key."""
        guarded = (each for resource in self.resources for each in resource.operations if not each.is_public)
        method, path = next((each.request for each in guarded), ("GET", "/health"))
        return method, path.replace("{id}", str(UUID(int=0)))

    @cached_property
    def enum_classes(self) -> list[tuple[str, dict[str, str], str]]:
        return [each for resource in self.resources for each in resource.enums]
