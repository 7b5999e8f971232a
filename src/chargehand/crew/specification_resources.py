"""Reads the resources: relations, lists, states, ownership and who may do what.

Rule: a resource is read on its own here; what refers from one to another is checked in `specification_rules`.
"""

from types import MappingProxyType

from chargehand.crew.specification_fields import read_fields
from chargehand.crew.specification_model import (
    CRUD_OPERATIONS,
    BelongsTo,
    Field,
    FieldType,
    Index,
    ManyToMany,
    OnDelete,
    Resource,
    States,
    Transition,
    Value,
    plural_of,
    singular_of,
)
from chargehand.crew.specification_section import NAME, WORD, Section, did_you_mean
from chargehand.crew.specification_tree import Entries, Node, Scalar
from chargehand.crew.specification_values import clock_offset, stored_value, value_fault

RESOURCE_KEYS = (
    "plural", "description", "fields", "belongs_to", "many_to_many", "indexes", "operations", "filter",
    "sort", "search", "states", "owned_by", "permissions",
)  # fmt: skip
_GROUPS = {"read": ("list", "get"), "write": ("create", "update", "delete")}
_FILTERABLE = frozenset(FieldType) - {FieldType.TEXT, FieldType.PASSWORD}
_SORTABLE = frozenset(FieldType) - {FieldType.TEXT, FieldType.PASSWORD, FieldType.UUID, FieldType.BOOLEAN}
_FEW_VALUES = frozenset({FieldType.ENUM, FieldType.BOOLEAN})
_SEARCHABLE = frozenset({FieldType.STRING, FieldType.TEXT, FieldType.EMAIL, FieldType.URL})


def read_resource(name: str, section: Section) -> Resource:
    """One resource; `permissions` holds only what the resource itself says."""
    if _looks_plural(name) and not section.has("plural"):
        section.report(
            None, f"{name!r} looks like a plural", f"name it {singular_of(name)!r}, or add `plural: {name}`"
        )
    fields = read_fields(section)
    belongs_to = _read_belongs_to(name, section)
    states = _read_states(section, fields)
    operations = section.words("operations", of=CRUD_OPERATIONS, what="operation")
    if section.has("operations") and not operations:
        section.report("operations", "no operation is left", "name at least one, or drop the resource")
    columns = _columns(section, fields, belongs_to, states)
    # A field that could not be read has been reported; lists and indexes that name it are no further fault.
    unread = tuple(set(section.section("fields").entries.nodes) - {each.name for each in fields})
    return Resource(
        name=name,
        plural=_read_plural(name, section),
        description=section.text("description", max_length=1000, multiline=True),
        fields=fields,
        belongs_to=belongs_to,
        many_to_many=_read_many_to_many(section),
        indexes=_read_indexes(section, columns, unread),
        operations=tuple(each for each in CRUD_OPERATIONS if not operations or each in operations),
        filters=section.words("filter", of=_usable(columns, _FILTERABLE) + unread, what="field to filter by"),
        sorts=section.words(
            "sort", of=_usable(columns, _SORTABLE, relations=False) + unread, what="field to sort by"
        ),
        searches=section.words(
            "search", of=_usable(columns, _SEARCHABLE, relations=False) + unread, what="field to search in"
        ),
        states=states,
        owned_by=section.text("owned_by") or None,
        permissions=MappingProxyType(
            read_permissions(section.section("permissions"), CRUD_OPERATIONS)
            | _transition_permissions(section)
        ),
    )


def read_permissions(section: Section, operations: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """Who may do what; `read` and `write` stand for several operations, a single one wins over them."""
    known = (*_GROUPS, *operations)
    found: dict[str, tuple[str, ...]] = {}
    for group, members in _GROUPS.items():
        if section.has(group):
            found |= dict.fromkeys(members, section.words(group, what="role"))
    for key in section.entries.nodes:
        if key not in known:
            section.report(key, f"{key!r} is no operation", did_you_mean(key, known))
        elif key not in _GROUPS:
            found[key] = section.words(key, what="role")
    return found


def _looks_plural(name: str) -> bool:
    return name.endswith("s") and not name.endswith(("ss", "us", "is", "as", "os", "news", "series"))


def _read_plural(name: str, section: Section) -> str:
    plural = section.text("plural") or plural_of(name)
    if not NAME.fullmatch(plural) or len(plural) > 44:
        section.report(
            "plural", f"{plural!r:.60} cannot be a path", "lower case letters, digits, single underscores"
        )
        return plural_of(name)
    return plural


def _read_belongs_to(resource: str, section: Section) -> tuple[BelongsTo, ...]:
    found: list[BelongsTo] = []
    outer = section.section("belongs_to")
    keys = ("resource", "on_delete", "nullable", "unique", "nested", "description")
    for name, node in outer.entries.nodes.items():
        if not outer.checked_name(name, "relation"):
            continue
        one = Section(_short(node, "resource", outer, name), f"{outer.where}.{name}", section.findings, keys)
        nullable = one.boolean("nullable", False)
        on_delete = OnDelete(one.choice("on_delete", tuple(OnDelete), OnDelete.RESTRICT))
        if on_delete is OnDelete.SET_NULL and not nullable:
            one.report("on_delete", "set_null needs a relation that may be null", "add `nullable: true`")
        found.append(
            BelongsTo(
                name=name,
                resource=one.text("resource") or name,
                on_delete=on_delete,
                nullable=nullable,
                unique=one.boolean("unique", False),
                nested=_read_nested(one, section, resource),
                description=one.text("description", max_length=500, multiline=True),
            )
        )
    return tuple(found)


def _read_nested(one: Section, resource: Section, name: str) -> str | None:
    node = one.literal("nested")
    if node is None or node.value in (None, False):
        return None
    if node.value is True:
        return resource.text("plural") or plural_of(name)
    if not NAME.fullmatch(node.text) or len(node.text) > 44:
        one.report(
            "nested",
            f"{node.text!r:.60} cannot be part of a path",
            "write true, or a plural such as `children`",
        )
        return None
    return node.text


def _read_many_to_many(section: Section) -> tuple[ManyToMany, ...]:
    found: list[ManyToMany] = []
    outer = section.section("many_to_many")
    for name, node in outer.entries.nodes.items():
        if not outer.checked_name(name, "relation"):
            continue
        entries = _short(node, "resource", outer, name)
        one = Section(entries, f"{outer.where}.{name}", section.findings, ("resource", "description"))
        target = one.text("resource") or singular_of(name)
        found.append(
            ManyToMany(
                name=name,
                resource=target,
                description=one.text("description", max_length=500, multiline=True),
            )
        )
    return tuple(found)


def _short(node: Node, key: str, outer: Section, name: str) -> Entries:
    """A relation given by its resource alone (`genres: genre`), or by nothing (`author:`)."""
    line = outer.line(name)
    if isinstance(node, Entries):
        return node
    if isinstance(node, Scalar):
        return Entries({key: node} if node.value is not None else {}, {key: line}, line)
    outer.report(name, "a relation is a resource or a mapping", f"write `{name}: {{resource: …}}`")
    return Entries({}, {}, line)


def _read_states(section: Section, fields: tuple[Field, ...]) -> States | None:
    if not section.has("states"):
        return None
    states = section.section("states", ("field", "initial", "values", "transitions"))
    values = states.words("values", what="state")
    for value in values:
        if not NAME.fullmatch(value) or len(value) > 40:
            states.report(
                "values", f"{value!r:.60} cannot be a state", "lower case letters, digits, single underscores"
            )
    if len(values) < 2:
        states.report("values", "needs two states at least", "values: [draft, published]")
    initial = states.text("initial")
    if initial not in values:
        states.report(
            "initial", f"{initial!r} is no state" if initial else "is missing", did_you_mean(initial, values)
        )
    field = states.text("field") or "status"
    if not NAME.fullmatch(field) or len(field) > 40:
        states.report(
            "field", f"{field!r:.60} cannot be the name of a field", "leave it out: it is `status` then"
        )
    return States(
        field=field,
        values=values,
        initial=initial,
        transitions=tuple(_read_transitions(states, values, fields)),
    )


def _read_transitions(
    states: Section, values: tuple[str, ...], fields: tuple[Field, ...]
) -> list[Transition]:
    found: list[Transition] = []
    outer = states.section("transitions")
    for name, one in states.sections("transitions", ("from", "to", "set", "allow", "description")):
        if not outer.checked_name(name, "transition", pattern=WORD):
            continue
        if name.replace("-", "_") in {*CRUD_OPERATIONS, "read", "write"}:
            outer.report(
                name, f"{name!r} is the name of an operation of every resource", "choose another verb"
            )
        sources = one.words("from", of=values, what="state")
        target = one.choice("to", values, "")
        if not one.has("from") or not one.has("to"):
            one.report(None, "a transition needs `from` and `to`", "{from: draft, to: published}")
        elif target in sources:
            one.report("to", f"leads from {target!r} to itself", "name another state")
        sets = MappingProxyType(_read_sets(one.section("set"), fields))
        description = one.text("description", max_length=500, multiline=True)
        found.append(
            Transition(name=name, sources=sources, target=target, sets=sets, description=description)
        )
    if not found:
        states.report(
            "transitions", "states without a transition never change", "add one, or use an enum field"
        )
    reached = {states.text("initial"), *(each.target for each in found)}
    for value in values:
        if found and "" not in reached and value not in reached:
            states.report("values", f"no transition leads to {value!r}", "add one, or drop the state")
    return found


def _read_sets(section: Section, fields: tuple[Field, ...]) -> dict[str, Value]:
    known = {each.name: each for each in fields if each.type is not FieldType.PASSWORD}
    found: dict[str, Value] = {}
    for name in section.entries.nodes:
        node = section.literal(name)
        field = known.get(name)
        if field is None or node is None:
            section.report(
                name, f"{name!r} is no field that a transition can set", did_you_mean(name, tuple(known))
            )
        elif node.value is None:
            if not field.nullable:
                section.report(name, f"{name!r} may not be null", "make it nullable, or set a value")
            found[name] = None
        elif field.type in {FieldType.DATE, FieldType.DATETIME} and (clock := clock_offset(node.text)):
            if clock[0] != ("today" if field.type is FieldType.DATE else "now"):
                section.report(
                    name, f"{node.text!r} does not fit a {field.type}", "now for a datetime, today for a date"
                )
            found[name] = node.text
        elif field.unique:
            section.report(name, "a unique field cannot be set to one value", "set another field")
        elif (fault := value_fault(field, node)) is not None:
            section.report(name, *fault)
        else:
            found[name] = stored_value(field, node)
    return found


def _transition_permissions(section: Section) -> dict[str, tuple[str, ...]]:
    if not section.has("states"):
        return {}
    states = section.section("states")
    transitions = states.section("transitions")
    found: dict[str, tuple[str, ...]] = {}
    for name, node in transitions.entries.nodes.items():
        if isinstance(node, Entries):
            one = Section(node, f"{transitions.where}.{name}", section.findings)
            if one.has("allow"):
                found[name] = one.words("allow", what="role")
    return found


def _columns(
    section: Section, fields: tuple[Field, ...], belongs_to: tuple[BelongsTo, ...], states: States | None
) -> dict[str, FieldType | None]:
    """What lists and indexes can name: fields with their type, relations with None."""
    columns: dict[str, FieldType | None] = {
        each.name: each.type for each in fields if not each.write_only and each.type is not FieldType.PASSWORD
    }
    for relation in belongs_to:
        if relation.name in columns:
            section.report("belongs_to", f"{relation.name!r} is a field and a relation", "rename one of them")
        columns[relation.name] = None
    if states is not None:
        if states.field in columns:
            section.report(
                "states", f"{states.field!r} is already there", "the state field is made from `states` alone"
            )
        columns[states.field] = FieldType.ENUM
    return columns


def _usable(
    columns: dict[str, FieldType | None], types: frozenset[FieldType], *, relations: bool = True
) -> tuple[str, ...]:
    return tuple(name for name, kind in columns.items() if (relations if kind is None else kind in types))


def _read_indexes(
    section: Section, columns: dict[str, FieldType | None], unread: tuple[str, ...]
) -> tuple[Index, ...]:
    found: list[Index] = []
    known = tuple(name for name, kind in columns.items() if kind is not FieldType.TEXT) + unread
    for position, node in enumerate(section.items("indexes")):
        if not isinstance(node, Entries):
            section.report(
                "indexes", "an index is a mapping", "- {on: [title, author], unique: true}", line=node.line
            )
            continue
        one = Section(node, f"{section.where}.indexes[{position}]", section.findings, ("on", "unique"))
        index = Index(on=one.words("on", of=known, what="column"), unique=one.boolean("unique", False))
        if not node.nodes.get("on"):
            one.report("on", "names no column", "on: [title, author]")
        elif any(each.on == index.on for each in found):
            one.report("on", "this index is there already", "drop one of them")
        elif index.unique and all(columns.get(each) in _FEW_VALUES for each in index.on):
            one.report(
                "on",
                "unique over enums and booleans alone: only a few rows fit",
                "add a field, or a relation",
            )
        elif index.on:
            found.append(index)
    return tuple(found)
