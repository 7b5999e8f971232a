"""What the tests of a generated service are made of: values, orders, and callers with few rights.

Rule: a test that cannot hold for a specification is not rendered; what decides that is here.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from chargehand.crew.blueprint_columns import FieldView
from chargehand.crew.blueprint_samples import Refused
from chargehand.crew.specification_model import OWNER, FieldType

if TYPE_CHECKING:
    from chargehand.crew.blueprint_view_resource import ResourceView

_FREE_TEXT = frozenset({FieldType.STRING, FieldType.TEXT})


@dataclass(frozen=True)
class ResourceTests:
    """The tests of one resource."""

    of: "ResourceView"

    @property
    def has_varied(self) -> bool:
        return any(self.of.is_varied(each) for each in self.of.writable)

    @property
    def shares_owner(self) -> bool:
        """Whether what a row refers to has to have the same owner."""
        return self.of.is_owned and any(each.parent.is_owned for each in self.of.relations)

    @cached_property
    def required_names(self) -> list[str]:
        found = [each.name for each in self.of.writable if each.field.required]
        return found + [each.column for each in self.of.relations if not each.relation.nullable]

    @cached_property
    def refused_values(self) -> list[tuple[str, Refused]]:
        found = [(each.name, one) for each in self.of.writable for one in each.refused]
        for relation in self.of.relations:
            found.append((relation.column, Refused(label="no id", source="'no-uuid'")))
            if not relation.relation.nullable:
                found.append((relation.column, Refused(label="null", source="None")))
        return found

    @cached_property
    def unique_names(self) -> list[str]:
        found = [each.name for each in self.of.writable if each.field.unique]
        return found + [
            each.column for each in self.of.relations if each.relation.unique and not each.is_self
        ]

    @property
    def relation_names(self) -> list[str]:
        return [each.column for each in self.of.relations]

    @property
    def has_illegal_moves(self) -> bool:
        return any(each.illegal for each in self.of.transitions)

    @cached_property
    def owner_role(self) -> str:
        """A role whose callers have the fewest rights over rows that are not theirs."""
        return max(self.of.service.roles, key=lambda role: len(self._limited_operations(role)), default="")

    def _limited_operations(self, role: str) -> list[str]:
        return [each.name for each in self.of.operations if OWNER in each.who and not each.admits(role)]

    @property
    def owner_operations(self) -> list[str]:
        return (
            self._limited_operations(self.owner_role)
            if self.of.is_owned and self.of.service.is_guarded
            else []
        )

    def owner_may(self, operation: str) -> bool:
        """Whether the owners of the tests may do it with their own rows only."""
        return operation in self.owner_operations

    @property
    def foreign_requests(self) -> list[tuple[str, str]]:
        """Method and path's end of each request that must not reach a foreign row."""
        methods = {"get": "GET", "update": "PATCH", "delete": "DELETE"}
        found = [(method, "") for name, method in methods.items() if self.owner_may(name)]
        return found + [
            ("POST", f"/{each.name}") for each in self.of.transitions if self.owner_may(each.name)
        ]

    @property
    def owned_parameter(self) -> str:
        return (
            ", owner: models." + self.of.service.account_class + " | None = None" if self.of.is_owned else ""
        )

    @property
    def nullable_sort(self) -> FieldView | None:
        """A field to sort by that may be null."""
        found = (
            self.of.field_view(each) for each in self.of.resource.sorts if self.of.resource.field_named(each)
        )
        return next((each for each in found if each.field.nullable), None)

    @cached_property
    def sort_fields(self) -> list[FieldView]:
        return [
            self.of.field_view(each) for each in self.of.resource.sorts if self.of.resource.field_named(each)
        ]

    @cached_property
    def search_field(self) -> FieldView | None:
        """A field to search in whose words the tests can choose freely."""
        found = (self.of.field_view(each) for each in self.of.resource.searches)
        return next(
            (each for each in found if not each.field.pattern and each.field.type in _FREE_TEXT), None
        )
