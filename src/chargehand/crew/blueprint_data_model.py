"""The tables of a service as a document shows them: columns, references, and every constraint with its reason.

Rule: tables, columns, constraints and indexes are exactly those of the first migration; a test compares the two.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from chargehand.crew.blueprint_columns import FieldView, enum_width
from chargehand.crew.blueprint_view_relations import IndexView, LinkView
from chargehand.crew.blueprint_view_resource import ResourceView
from chargehand.crew.blueprint_views import ServiceView
from chargehand.crew.specification_model import Field, FieldType


class TableKind(StrEnum):
    """Where a table comes from."""

    RESOURCE = "resource"
    LINK = "link"
    SERVICE = "service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column; `keys` are PK, FK and UK, as far as they apply."""

    name: str
    type: str
    keys: tuple[str, ...] = ()
    is_nullable: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A foreign key: each row of `child` belongs to one row of `parent` (or to none, when it is optional)."""

    child: str
    column: str
    parent: str
    label: str
    on_delete: str
    is_optional: bool = False
    is_unique: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A constraint or an index, and why it is there."""

    name: str
    kind: str
    on: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table."""

    name: str
    kind: TableKind
    description: str
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...]

    @property
    def position_of(self) -> dict[str, int]:
        """Each column's place, from the top."""
        return {column.name: number for number, column in enumerate(self.columns)}


@dataclass(frozen=True, slots=True, kw_only=True)
class DataModel:
    """All tables, parents before children."""

    tables: tuple[Table, ...]
    references: tuple[Reference, ...]


_TYPES = {
    FieldType.TEXT: "text",
    FieldType.INTEGER: "bigint",
    FieldType.NUMBER: "double",
    FieldType.BOOLEAN: "boolean",
    FieldType.DATE: "date",
    FieldType.DATETIME: "datetime",
    FieldType.UUID: "uuid",
    FieldType.EMAIL: "varchar(254)",
    FieldType.URL: "varchar(2000)",
    FieldType.PASSWORD: "varchar(200)",
}
_ON_DELETE_WORDS = {
    "RESTRICT": "a {parent} row that is still referred to cannot be deleted",
    "CASCADE": "deleting the {parent} row deletes these rows too",
    "SET NULL": "deleting the {parent} row leaves these rows without one",
}


def data_model(service: ServiceView) -> DataModel:
    """Every table of the service, those it needs for itself included."""
    tables = [*_service_tables(service)]
    references: list[Reference] = []
    for resource in service.tables:
        tables.append(_resource_table(resource))
        references += _references(resource)
    for resource in service.tables:
        for link in resource.links:
            tables.append(_link_table(link))
            references += _link_references(link)
    return DataModel(tables=tuple(tables), references=tuple(references))


def column_type(field: Field) -> str:
    """A field's type in words that every database knows."""
    match field.type:
        case FieldType.STRING:
            return f"varchar({field.max_length})"
        case FieldType.DECIMAL:
            return f"decimal({field.precision},{field.scale})"
        case FieldType.ENUM:
            return f"varchar({enum_width(field.values)})"
        case _:
            return _TYPES[field.type]


def _resource_table(resource: ResourceView) -> Table:
    unique = {one.columns[0] for one in resource.uniques if len(one.columns) == 1}
    columns = [Column(name="id", type="uuid", keys=("PK",), note="version 7: sorts by when it was made")]
    for relation in resource.relations:
        keys = ("FK", "UK") if relation.column in unique else ("FK",)
        columns.append(
            Column(name=relation.column, type="uuid", keys=keys, is_nullable=relation.relation.nullable)
        )
    if resource.is_owned_directly:
        columns.append(Column(name="owner_id", type="uuid", keys=("FK",), note="whose row it is"))
    columns += [_field_column(each, is_unique=each.column in unique) for each in resource.fields]
    if resource.resource.states:
        states = resource.resource.states
        columns.append(
            Column(
                name=states.field, type=f"varchar({resource.state_width})", note=" or ".join(states.values)
            )
        )
    columns.append(
        Column(name="version", type="integer", note="counts the changes; guards against lost updates")
    )
    columns += [Column(name="created_at", type="datetime"), Column(name="updated_at", type="datetime")]
    description = resource.resource.description or f"{resource.plural_words.capitalize()}."
    return Table(
        name=resource.plural,
        kind=TableKind.RESOURCE,
        description=description,
        columns=tuple(columns),
        rules=tuple(_resource_rules(resource)),
    )


def _field_column(each: FieldView, *, is_unique: bool) -> Column:
    field = each.field
    note = field.description
    if each.is_password:
        note = "scrypt hash with its own salt; never shown"
    elif field.type is FieldType.ENUM:
        note = " or ".join(field.values)
    keys = ("UK",) if is_unique else ()
    return Column(name=each.column, type=column_type(field), keys=keys, is_nullable=field.nullable, note=note)


def _references(resource: ResourceView) -> Iterator[Reference]:
    unique = {one.columns for one in resource.uniques}
    for relation in resource.relations:
        yield Reference(
            child=resource.plural,
            column=relation.column,
            parent=relation.parent.plural,
            label=relation.name,
            on_delete=relation.on_delete,
            is_optional=relation.relation.nullable,
            is_unique=(relation.column,) in unique,
        )
    if resource.is_owned_directly:
        yield Reference(
            child=resource.plural,
            column="owner_id",
            parent=resource.service.account_table,
            label="owner",
            on_delete="RESTRICT",
        )


def _resource_rules(resource: ResourceView) -> Iterator[Rule]:
    yield _primary_key(resource.plural)
    for reference in _references(resource):
        yield _foreign_key(reference)
    for one in resource.uniques:
        yield Rule(name=one.name, kind="unique", on=", ".join(one.columns), why=_why_unique(resource, one))
    for name, condition in resource.checks:
        yield Rule(name=f"ck_{resource.plural}_{name}", kind="check", on=condition, why=_why_check(name))
    for one in resource.indexes:
        yield Rule(name=one.name, kind="index", on=", ".join(one.columns), why=_why_index(resource, one))


def _primary_key(table: str, on: str = "id") -> Rule:
    why = "ids made later sort later, so that new rows go to the end of the index"
    return Rule(
        name=f"pk_{table}",
        kind="primary key",
        on=on,
        why=why if on == "id" else "each pair stands there once",
    )


def _foreign_key(reference: Reference) -> Rule:
    parent = reference.parent.replace("_", " ")
    return Rule(
        name=f"fk_{reference.child}_{reference.column}",
        kind="foreign key",
        on=f"{reference.column} → {reference.parent}.id, on delete {reference.on_delete.lower()}",
        why=_ON_DELETE_WORDS[reference.on_delete].format(parent=parent),
    )


def _why_unique(resource: ResourceView, one: IndexView) -> str:
    words = " and ".join(each.removesuffix("_id").replace("_", " ") for each in one.columns)
    return f"no two {resource.plural_words} have the same {words}; a second one is answered with 409"


def _why_check(name: str) -> str:
    reasons = {
        "_known": "only the words of the specification; the type is kept as text",
        "_boolean": "SQLite has no boolean type of its own",
        "_length": "the limit of the API, kept for writes that come by another way",
    }
    known = next((why for suffix, why in reasons.items() if name.endswith(suffix)), None)
    return known or "the bound of the API, kept for writes that come by another way"


def _why_index(resource: ResourceView, one: IndexView) -> str:
    specified = {tuple(resource.column_of(each) for each in index.on) for index in resource.resource.indexes}
    if one.columns in specified:
        return "the specification asks for it"
    if one.columns == ("owner_id",):
        return "an owner's list reads only the owner's rows"
    relation = next((each for each in resource.relations if one.columns == (each.column,)), None)
    if relation:
        return f"lists by {relation.name}, and deleting a {relation.parent.words}, read no other rows"
    return f"lists sorted by {one.columns[0]} are read in order and stop at the page's end"


# What the service needs for itself


def _service_tables(service: ServiceView) -> Iterator[Table]:
    if service.is_jwt:
        yield _accounts()
    elif service.is_api_key:
        yield _api_keys()
    if service.integrations:
        yield _outbox()


def _role_rule(table: str) -> Rule:
    return Rule(
        name=f"ck_{table}_role_known", kind="check", on="role", why="only the roles of the specification"
    )


def _accounts() -> Table:
    columns = (
        Column(name="id", type="uuid", keys=("PK",)),
        Column(name="email", type="varchar(254)", keys=("UK",), note="in lower case"),
        Column(name="password_hash", type="varchar(200)", note="scrypt hash with its own salt; never shown"),
        Column(name="role", type="varchar(40)"),
        Column(name="is_active", type="boolean"),
        Column(name="created_at", type="datetime"),
    )
    unique = Rule(name="uq_accounts_email", kind="unique", on="email", why="an email logs in to one account")
    rules = (_primary_key("accounts"), unique, _role_rule("accounts"))
    return Table(
        name="accounts", kind=TableKind.SERVICE, description="Who can log in.", columns=columns, rules=rules
    )


def _api_keys() -> Table:
    columns = (
        Column(name="id", type="uuid", keys=("PK",)),
        Column(name="name", type="varchar(100)", keys=("UK",)),
        Column(
            name="key_hash", type="varchar(64)", keys=("UK",), note="SHA-256; the key itself is kept nowhere"
        ),
        Column(name="role", type="varchar(40)"),
        Column(name="created_at", type="datetime"),
        Column(name="revoked_at", type="datetime", is_nullable=True),
    )
    rules = (
        _primary_key("api_keys"),
        Rule(name="uq_api_keys_key_hash", kind="unique", on="key_hash", why="a key is found by its hash"),
        Rule(name="uq_api_keys_name", kind="unique", on="name", why="a key is revoked by its name"),
        _role_rule("api_keys"),
    )
    return Table(
        name="api_keys",
        kind=TableKind.SERVICE,
        description="Which programs may call.",
        columns=columns,
        rules=rules,
    )


def _outbox() -> Table:
    columns = (
        Column(name="id", type="uuid", keys=("PK",)),
        Column(name="integration", type="varchar(40)"),
        Column(name="event", type="varchar(100)"),
        Column(name="path", type="varchar(200)"),
        Column(name="payload", type="json"),
        Column(name="attempts", type="integer"),
        Column(name="created_at", type="datetime"),
        Column(name="next_attempt_at", type="datetime"),
        Column(name="delivered_at", type="datetime", is_nullable=True),
        Column(
            name="gave_up_at", type="datetime", is_nullable=True, note="every retry failed: a person decides"
        ),
    )
    on = "delivered_at, gave_up_at, next_attempt_at"
    due = Rule(name="ix_outbox_events_due", kind="index", on=on, why="the sender reads only what is due")
    return Table(
        name="outbox_events",
        kind=TableKind.SERVICE,
        description="Events that other services are still to be told, written in the transaction they tell of.",
        columns=columns,
        rules=(_primary_key("outbox_events"), due),
    )


def _link_table(link: LinkView) -> Table:
    columns = tuple(
        Column(name=each, type="uuid", keys=("PK", "FK")) for each in (link.near_column, link.far_column)
    )
    index = Rule(
        name=f"ix_{link.table}_{link.far_column}",
        kind="index",
        on=link.far_column,
        why=f"deleting a {link.target.words} reads only its own pairs",
    )
    return Table(
        name=link.table,
        kind=TableKind.LINK,
        description=f"Which {link.target.plural_words} belong to which {link.owner.plural_words}.",
        columns=columns,
        rules=(
            _primary_key(link.table, f"{link.near_column}, {link.far_column}"),
            *(_foreign_key(each) for each in _link_references(link)),
            index,
        ),
    )


def _link_references(link: LinkView) -> tuple[Reference, Reference]:
    near, far = (
        Reference(child=link.table, column=column, parent=parent.plural, label=label, on_delete="CASCADE")
        for column, parent, label in (
            (link.near_column, link.owner, link.name),
            (link.far_column, link.target, link.name),
        )
    )
    return near, far
