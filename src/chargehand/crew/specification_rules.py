"""What must hold between the parts of a specification: references, names taken, permissions, cycles.

Rule: nothing that passes here makes the service collide with itself or leaves an operation unguarded.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType

from chargehand.crew.specification_model import (
    ACCOUNT,
    AUTHENTICATED,
    CRUD_OPERATIONS,
    OWNER,
    PUBLIC,
    Authentication,
    AuthenticationMethod,
    FieldType,
    Resource,
)
from chargehand.crew.specification_section import Section, did_you_mean

RESERVED_COLUMNS = frozenset({"id", "created_at", "updated_at", "version", "owner_id", "owner"})
RESERVED_PARAMETERS = frozenset({"limit", "cursor", "sort", "q"})
RESERVED_RESOURCES = frozenset(
    {"account", "api_key", "outbox_event", "alembic_version", "auth", "health", "problem"}
)
RESERVED_PLURALS = frozenset(
    {
        "auth",
        "health",
        "docs",
        "redoc",
        "accounts",
        "api_keys",
        "outbox_events",
        "alembic_version",
        "sqlite_sequence",
    }
)
_PACKAGES = frozenset(
    {
        "fastapi",
        "starlette",
        "pydantic",
        "sqlalchemy",
        "alembic",
        "limits",
        "jwt",
        "secure",
        "pytest",
        "uvicorn",
    }
    | {
        "tests",
        "migrations",
        "benchmarks",
        "deploy",
        "docs",
        "scripts",
        "aiosqlite",
        "anyio",
        "pip",
        "setuptools",
    }
)
ORDERED_TYPES = frozenset(
    {FieldType.INTEGER, FieldType.NUMBER, FieldType.DECIMAL, FieldType.DATE, FieldType.DATETIME}
)


def package_is_taken(package: str) -> bool:
    """Whether a package of this name would hide a module that the service needs."""
    return package in sys.stdlib_module_names or package in _PACKAGES


def check_names(resources: Sequence[Resource], section: Section) -> None:
    """Names of resources and of their columns, parameters and paths do not collide."""
    plurals: dict[str, str] = {}
    for resource in resources:
        one = section.section(resource.name)
        if resource.name in RESERVED_RESOURCES:
            section.report(
                resource.name, f"{resource.name!r} is made by the service itself", "choose another name"
            )
        if resource.plural in RESERVED_PLURALS:
            one.report(
                "plural",
                f"the path /{resource.plural} is taken by the service itself",
                "give another `plural:`",
            )
        elif resource.plural in plurals:
            other = plurals[resource.plural]
            one.report(
                "plural", f"/{resource.plural} is already the path of {other!r}", "give another `plural:`"
            )
        plurals[resource.plural] = resource.name
        _check_columns(resource, one)
        _check_parameters(resource, one)


def _check_columns(resource: Resource, section: Section) -> None:
    if not resource.fields and not resource.belongs_to and not section.has("fields"):
        section.report("fields", "a resource needs a field", "fields: {name: string}")
    relations = {each.column: each.name for each in resource.belongs_to}
    links = {each.name for each in resource.many_to_many}
    for field in resource.fields:
        fields = section.section("fields")
        if field.name in RESERVED_COLUMNS:
            fields.report(
                field.name, "every resource has this one already", "drop it, or choose another name"
            )
        elif field.name in relations:
            fields.report(
                field.name, f"is the column of the relation {relations[field.name]!r}", "drop the field"
            )
        elif field.name in links or field.name.removesuffix("_ids") in {
            each.resource for each in resource.many_to_many
        }:
            fields.report(field.name, "is the name of a many_to_many relation too", "rename one of them")
    taken = (
        RESERVED_COLUMNS
        | {each.name for each in resource.fields}
        | {each.name for each in resource.belongs_to}
    )
    for name in [*(each.name for each in resource.belongs_to), *relations, *links]:
        if name in RESERVED_COLUMNS or (name in links and name in taken):
            section.report(
                "belongs_to" if name not in links else "many_to_many", f"{name!r} is taken", "rename it"
            )
    if resource.states and resource.states.field in RESERVED_COLUMNS | relations.keys() | links:
        section.report("states", f"{resource.states.field!r} is taken", "give another `field:`")
    if len(resource.fields) > 60:
        section.report("fields", "more than 60 fields", "split the resource")


def _check_parameters(resource: Resource, section: Section) -> None:
    names: list[str] = []
    for name in resource.filters:
        field = resource.field_named(name)
        ordered = field is not None and field.type in ORDERED_TYPES
        relation = resource.relation_named(name)
        names += [name, f"{name}_min", f"{name}_max"] if ordered else [relation.column if relation else name]
    for name in names:
        if name in RESERVED_PARAMETERS or names.count(name) > 1:
            section.report(
                "filter", f"the query parameter {name!r} is taken", "do not filter by it, or rename the field"
            )


def check_relations(resources: Sequence[Resource], section: Section) -> None:
    """Every relation leads to a resource, and rows can be created in some order."""
    known = {each.name: each for each in resources}
    graph: dict[str, set[str]] = {each.name: set() for each in resources}
    for resource in resources:
        one = section.section(resource.name)
        for relation in resource.belongs_to:
            place = one.section("belongs_to")
            if relation.resource not in known:
                hint = did_you_mean(relation.resource, tuple(known))
                place.report(relation.name, f"there is no resource {relation.resource!r}", hint)
            elif relation.resource != resource.name:
                graph[resource.name].add(relation.resource)
            elif not relation.nullable:
                place.report(relation.name, "the first row could never be created", "add `nullable: true`")
        for link in resource.many_to_many:
            if link.resource not in known:
                hint = did_you_mean(link.resource, tuple(known))
                one.section("many_to_many").report(link.name, f"there is no resource {link.resource!r}", hint)
        targets = [each.resource for each in resource.many_to_many]
        if len(targets) != len(set(targets)):
            one.report(
                "many_to_many", "two relations to the same resource", "make the second a resource of its own"
            )
        _check_nested(resource, known, one)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " → ".join(reversed(error.args[1]))
        section.report(
            None, f"resources belong to each other in a circle: {circle}", "make one of them a many_to_many"
        )


def _check_nested(resource: Resource, known: Mapping[str, Resource], section: Section) -> None:
    for relation in resource.belongs_to:
        parent = known.get(relation.resource)
        if relation.nested is None or parent is None:
            continue
        taken = [each.name for each in parent.states.transitions] if parent.states else []
        for other in known.values():
            taken += [
                each.nested
                for each in other.belongs_to
                if each.nested
                and each.resource == parent.name
                and (other.name, each.name) != (resource.name, relation.name)
            ]
        if relation.nested in taken:
            path = f"/{parent.plural}/{{id}}/{relation.nested}"
            section.section("belongs_to").report(
                relation.name, f"{path} is there already", "give `nested:` a name"
            )
        if "list" not in resource.operations:
            section.section("belongs_to").report(
                relation.name, "nested needs the operation `list`", "add it, or drop it"
            )


def check_ownership(resources: Sequence[Resource], authentication: Authentication, section: Section) -> None:
    """`owned_by` leads to an account, at last."""
    known = {each.name: each for each in resources}
    for resource in resources:
        one = section.section(resource.name)
        if resource.owned_by is None:
            continue
        if authentication.method is AuthenticationMethod.NONE:
            one.report(
                "owned_by", "there are no accounts without authentication", "choose method jwt or api_key"
            )
        seen = {resource.name}
        each = resource
        while each.owned_by not in {None, ACCOUNT}:
            relation = each.relation_named(each.owned_by or "")
            if relation is None or relation.nullable:
                choices = (ACCOUNT, *(other.name for other in each.belongs_to if not other.nullable))
                fault = f"{each.owned_by!r} is neither `account` nor a relation that is always there"
                one.report("owned_by", fault, did_you_mean(each.owned_by or "", choices))
                break
            parent = known.get(relation.resource)
            if parent is None:
                break
            if parent.owned_by is None or parent.name in seen:
                one.report(
                    "owned_by", f"{parent.name!r} has no owner itself", f"give {parent.name!r} an `owned_by:`"
                )
                break
            seen.add(parent.name)
            each = parent


def check_references(resources: Sequence[Resource], section: Section) -> None:
    """Who may write what nobody owns can see every row that it may refer to.

    Else a caller could hang something on another's row by its id alone.
    """
    known = {each.name: each for each in resources}
    for resource in resources:
        if resource.owned_by is not None:
            continue
        writers = {word for each in ("create", "update") for word in resource.permissions.get(each, ())}
        for relation in [*resource.belongs_to, *resource.many_to_many]:
            target = known.get(relation.resource)
            if target is None or target.owned_by is None:
                continue
            readers = set(target.permissions.get("get") or target.permissions.get("list") or ())
            if not readers & {PUBLIC, AUTHENTICATED} and not writers <= readers:
                section.section(resource.name).report(
                    "belongs_to" if relation in resource.belongs_to else "many_to_many",
                    f"{relation.name!r}: not everybody who writes a {resource.name} may see every {target.name}",
                    f"let them get a {target.name}, or give the {resource.name} an owner (`owned_by:`)",
                )


def with_permissions(
    resource: Resource, usual: Mapping[str, tuple[str, ...]], authentication: Authentication, section: Section
) -> Resource:
    """The resource with an entry for each of its operations; what nobody decided is reported."""
    found: dict[str, tuple[str, ...]] = {}
    for operation in resource.all_operations:
        who = resource.permissions.get(operation) or usual.get(operation)
        if operation not in resource.operations and not who:
            who = resource.permissions.get("update") or usual.get("update")
        if authentication.method is AuthenticationMethod.NONE:
            who = (PUBLIC,)
        elif not who and not authentication.roles:
            who = (AUTHENTICATED,)
        _check_creator(resource, operation, who or (), section)
        found[operation] = who or ()
    undecided = [operation for operation, who in found.items() if not who]
    if undecided:
        message = f"nobody may {', '.join(undecided)}"
        section.report("permissions", message, "say who: by read and write, or by each operation")
    for operation in section.section("permissions").entries.nodes:
        if operation in CRUD_OPERATIONS and operation not in found:
            section.report("permissions", f"{operation!r} is not among the operations", "drop the permission")
    return replace(resource, permissions=MappingProxyType(found))


def _check_creator(resource: Resource, operation: str, who: tuple[str, ...], section: Section) -> None:
    if OWNER in who and resource.owned_by is None:
        section.report(
            "permissions", f"nobody owns a {resource.name}", "add `owned_by: account`, or drop `owner`"
        )
    if operation == "create" and PUBLIC in who and resource.owned_by is not None:
        section.report(
            "permissions", f"a {resource.name} made by nobody has no owner", "create: authenticated, or owner"
        )


def check_permission_words(
    permissions: Mapping[str, tuple[str, ...]], authentication: Authentication, section: Section, key: str
) -> None:
    """Each word is a role or one of public, authenticated, owner; and it adds something."""
    known = (PUBLIC, AUTHENTICATED, OWNER, *authentication.roles)
    for operation, who in permissions.items():
        for word in who:
            if word not in known:
                section.report(key, f"{operation}: {word!r} is no role", did_you_mean(word, known))
        if PUBLIC in who and len(who) > 1:
            section.report(key, f"{operation}: public includes everybody", "name public alone")
    if permissions and authentication.method is AuthenticationMethod.NONE:
        section.report(
            key, "without authentication everybody may do everything", "drop it, or choose a method"
        )
