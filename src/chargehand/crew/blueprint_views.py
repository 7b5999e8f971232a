"""A specification as the templates see it: names that are usable in code, and everything that can be derived.

Rule: templates decide nothing; what depends on more than one part of the specification is worked out here.
"""

from dataclasses import dataclass, field
from functools import cached_property
from graphlib import TopologicalSorter
from uuid import UUID

from chargehand.crew import blueprint_names as names
from chargehand.crew.blueprint_columns import FieldView, enum_width, pascal, sql_text
from chargehand.crew.blueprint_samples import Refused
from chargehand.crew.specification_model import (
    ACCOUNT,
    AUTHENTICATED,
    OWNER,
    PUBLIC,
    AuthenticationMethod,
    BelongsTo,
    FieldType,
    Integration,
    ManyToMany,
    OnDelete,
    Resource,
    ServiceSpecification,
    Transition,
    singular_of,
)

_FREE_TEXT = frozenset({FieldType.STRING, FieldType.TEXT})


@dataclass(frozen=True)
class RelationView:
    """A belongs_to relation."""

    relation: BelongsTo
    parent: "ResourceView"
    child: "ResourceView"

    @property
    def name(self) -> str:
        return self.relation.name

    @property
    def column(self) -> str:
        return self.relation.column

    @property
    def on_delete(self) -> str:
        return self.relation.on_delete.value.upper().replace("_", " ")

    @property
    def is_self(self) -> bool:
        return self.parent.name == self.child.name

    @property
    def path_parameter(self) -> str:
        """The parent's id in the nested collection's path."""
        return self.parent.path_parameter

    @property
    def model_line(self) -> str:
        annotation = "uuid.UUID" + (" | None" if self.relation.nullable else "")
        key = f'sa.ForeignKey("{self.parent.plural}.id", ondelete="{self.on_delete}")'
        return f"{self.column}: orm.Mapped[{annotation}] = orm.mapped_column({key})"

    @property
    def parent_caller(self) -> bool:
        """Whether the nested list needs the caller as the parent's `get` sees them."""
        parent = self.parent
        return parent.is_owned and parent.allows("get") and parent.is_guarded("get")

    @property
    def parent_scoped(self) -> bool:
        """Whether only the caller's own parents are there for some callers."""
        return self.parent.is_owned and (self.parent_caller or self.child.is_owned)

    @property
    def dependencies(self) -> list[str]:
        """Operations whose rules guard the nested list without giving it a caller."""
        found: list[str] = []
        if self.child.is_guarded("list") and not self.child.is_owned:
            found.append(f"{self.child.name}.list")
        if self.parent.allows("get") and self.parent.is_guarded("get") and not self.parent_caller:
            found.append(f"{self.parent.name}.get")
        return found

    @property
    def is_guarded(self) -> bool:
        return self.child.is_guarded("list") or (self.parent.allows("get") and self.parent.is_guarded("get"))

    @property
    def nested_headers(self) -> str | None:
        """Python source of headers with which the tests may read the nested list; None when there is no such caller."""
        operations = [self.child.operation("list")] + ([self.parent.operation("get")] if self.parent.allows("get") else [])
        guarded = [each for each in operations if not each.is_public]
        if not guarded or not self.child.service.is_guarded:
            return "{}"
        for role in self.child.service.roles:
            if all(each.admits(role) for each in guarded):
                return f"given.headers_of(given.account({role!r}))"
        return "given.headers_of(account)" if self.child.is_owned and self.parent.is_owned else None

    @property
    def owner_may_get(self) -> bool:
        return self.parent.allows("get") and OWNER in self.parent.operation("get").who and self.parent.owner_may("get")

    @property
    def deletion_name(self) -> str:
        words = {OnDelete.RESTRICT: "is_refused", OnDelete.CASCADE: "removes_them", OnDelete.SET_NULL: "keeps_them"}
        return words[self.relation.on_delete]

    @property
    def create_line(self) -> str:
        return f"{self.column}: types.Id" + (" | None = None" if self.relation.nullable else "")

    @property
    def update_line(self) -> str:
        optional = " | None" if self.relation.nullable else ""
        return f"{self.column}: types.Id{optional} = Field(default_factory=types.left_out)"

    @property
    def read_line(self) -> str:
        return f"{self.column}: uuid.UUID" + (" | None" if self.relation.nullable else "")


@dataclass(frozen=True)
class LinkView:
    """A many_to_many relation; its table is named after both sides."""

    link: ManyToMany
    target: "ResourceView"
    owner: "ResourceView"

    @property
    def name(self) -> str:
        return self.link.name

    @property
    def relationship(self) -> str:
        return names.attribute(self.link.name)

    @property
    def attribute(self) -> str:
        return self.link.attribute

    @property
    def table(self) -> str:
        return f"{self.owner.plural}_{self.link.name}"

    @property
    def near_column(self) -> str:
        return f"{self.owner.name}_id"

    @property
    def far_column(self) -> str:
        column = f"{singular_of(self.link.name)}_id"
        return column if column != self.near_column else f"other_{column}"


@dataclass(frozen=True)
class IndexView:
    """An index or a unique constraint over columns."""

    name: str
    columns: tuple[str, ...]
    unique: bool


@dataclass(frozen=True)
class TransitionView:
    """A transition of a resource."""

    transition: Transition
    resource: "ResourceView"

    @property
    def name(self) -> str:
        return self.transition.name

    @property
    def function(self) -> str:
        return names.function(self.transition.name)

    @property
    def route(self) -> str:
        return f"{self.transition.name.replace('-', '_')}_{self.resource.name}"

    @property
    def words(self) -> str:
        return self.transition.name.replace("-", " ").replace("_", " ")

    @property
    def sources(self) -> list[str]:
        return [self.resource.state_member(each) for each in self.transition.sources]

    @property
    def illegal(self) -> list[str]:
        states = self.resource.resource.states
        return [each for each in states.values if each not in self.transition.sources] if states else []

    @property
    def target(self) -> str:
        return self.resource.state_member(self.transition.target)

    @property
    def sets(self) -> list[tuple[str, str]]:
        """Attribute and Python source of what a transition sets."""
        found: list[tuple[str, str]] = []
        for name, value in self.transition.sets.items():
            one = self.resource.field_view(name)
            found.append((one.model_attribute, one.default_source(value) or "None"))
        return found


@dataclass(frozen=True)
class OperationView:
    """Who may do one operation."""

    name: str
    who: tuple[str, ...]
    resource: "ResourceView"

    @property
    def key(self) -> str:
        return f"{self.resource.name}.{self.name}"

    @property
    def is_public(self) -> bool:
        return PUBLIC in self.who

    @property
    def roles(self) -> list[str]:
        return [each for each in self.who if each not in {PUBLIC, AUTHENTICATED, OWNER}]

    def admits(self, role: str) -> bool:
        """Whether the role may do it with every row."""
        return self.is_public or AUTHENTICATED in self.who or role in self.who

    @property
    def rule(self) -> str:
        """Python source of the rule."""
        arguments = [f"{word}=True" for word in (PUBLIC, AUTHENTICATED, OWNER) if word in self.who]
        if self.roles:
            arguments.insert(0, "roles=frozenset({" + ", ".join(repr(each) for each in self.roles) + "})")
        return f"Rule({', '.join(arguments)})"

    @property
    def request(self) -> tuple[str, str]:
        """Method and path, with `{id}` where a row's id stands."""
        item = f"{self.resource.path}/{{id}}"
        found = {
            "list": ("GET", self.resource.path),
            "create": ("POST", self.resource.path),
            "get": ("GET", item),
            "update": ("PATCH", item),
            "delete": ("DELETE", item),
        }
        return found.get(self.name, ("POST", f"{item}/{self.name}"))

    @property
    def words(self) -> str:
        """For the description in the OpenAPI document."""
        if self.is_public:
            return "Open to everybody."
        if AUTHENTICATED in self.who:
            return "For every authenticated caller."
        parts = [f"role {each}" for each in self.roles] + (
            ["the owner of the row"] if OWNER in self.who else []
        )
        return f"For {' or '.join(parts)}."


@dataclass(frozen=True)
class ResourceView:
    """One resource."""

    resource: Resource
    service: "ServiceView" = field(repr=False)

    @property
    def name(self) -> str:
        return self.resource.name

    @property
    def plural(self) -> str:
        return self.resource.plural

    @property
    def module(self) -> str:
        return names.module(self.name)

    @property
    def variable(self) -> str:
        return names.variable(self.name)

    @property
    def class_name(self) -> str:
        return names.class_name(self.name)

    @property
    def words(self) -> str:
        return self.name.replace("_", " ")

    @property
    def a_words(self) -> str:
        return ("an " if self.name[0] in "aeiou" else "a ") + self.words

    @property
    def plural_words(self) -> str:
        return self.plural.replace("_", " ")

    @property
    def path(self) -> str:
        return f"/{self.plural.replace('_', '-')}"

    @property
    def path_parameter(self) -> str:
        return f"{self.name}_id"

    @cached_property
    def fields(self) -> list[FieldView]:
        return [FieldView(each, self.class_name) for each in self.resource.fields]

    def field_view(self, name: str) -> FieldView:
        return next(each for each in self.fields if each.name == name)

    @cached_property
    def relations(self) -> list[RelationView]:
        return [
            RelationView(each, self.service.view(each.resource), self) for each in self.resource.belongs_to
        ]

    @cached_property
    def links(self) -> list[LinkView]:
        return [LinkView(each, self.service.view(each.resource), self) for each in self.resource.many_to_many]

    @cached_property
    def nested(self) -> list[RelationView]:
        """Relations through which this resource is listed under another."""
        return [each for each in self.relations if each.relation.nested]

    @cached_property
    def children(self) -> list[RelationView]:
        """Relations of other resources (or this one) that lead here."""
        return [
            each
            for other in self.service.resources
            for each in other.relations
            if each.parent.name == self.name
        ]

    @cached_property
    def writable(self) -> list[FieldView]:
        return [each for each in self.fields if not each.field.read_only]

    @cached_property
    def readable(self) -> list[FieldView]:
        return [each for each in self.fields if not each.field.write_only and not each.is_password]

    @cached_property
    def passwords(self) -> list[FieldView]:
        return [each for each in self.fields if each.is_password]

    @cached_property
    def enums(self) -> list[tuple[str, dict[str, str], str]]:
        """Class, members by value, and what it is, for each enum field and the states."""
        found = [
            (each.enum_class, names.members(each.field.values), f"Values of a {self.words}'s {each.name}.")
            for each in self.fields
            if each.enum_class
        ]
        if self.resource.states:
            found.append(
                (self.state_class, names.members(self.resource.states.values), f"States of a {self.words}.")
            )
        return found

    # States

    @property
    def state_class(self) -> str:
        return f"{self.class_name}{pascal(self.resource.states.field)}" if self.resource.states else ""

    @property
    def state_attribute(self) -> str:
        return names.attribute(self.resource.states.field) if self.resource.states else ""

    @property
    def state_width(self) -> int:
        return enum_width(self.resource.states.values) if self.resource.states else 0

    def state_member(self, value: str) -> str:
        values = self.resource.states.values if self.resource.states else ()
        return f"enums.{self.state_class}.{names.members(values)[value]}"

    @cached_property
    def transitions(self) -> list[TransitionView]:
        states = self.resource.states
        return [TransitionView(each, self) for each in states.transitions] if states else []

    def transition_view(self, name: str) -> TransitionView:
        return next(each for each in self.transitions if each.name == name)

    # Ownership and permissions

    @property
    def is_owned(self) -> bool:
        return self.resource.owned_by is not None

    @property
    def is_owned_directly(self) -> bool:
        return self.resource.owned_by == ACCOUNT

    @property
    def owner_relation(self) -> RelationView | None:
        return next((each for each in self.relations if each.name == self.resource.owned_by), None)

    @cached_property
    def ownership_chain(self) -> list[RelationView]:
        """The relations from this resource to the one that has the owner's column."""
        chain: list[RelationView] = []
        one: ResourceView = self
        while (relation := one.owner_relation) is not None:
            chain.append(relation)
            one = relation.parent
        return chain

    @property
    def owner_condition(self) -> str:
        """Python source of the SQL condition: the row is the caller's."""
        if self.is_owned_directly:
            return f"models.{self.class_name}.owner_id == caller.id"
        relation = self.owner_relation
        if relation is None:
            return ""
        parent = relation.parent
        inner = f"sa.select(models.{parent.class_name}.id).where({parent.owner_condition})"
        return f"models.{self.class_name}.{relation.column}.in_({inner})"

    def allows(self, operation: str) -> bool:
        return operation in self.resource.operations

    @cached_property
    def operations(self) -> list[OperationView]:
        return [
            OperationView(each, self.resource.permissions[each], self)
            for each in self.resource.all_operations
        ]

    def operation(self, name: str) -> OperationView:
        return next(each for each in self.operations if each.name == name)

    def is_guarded(self, operation: str) -> bool:
        return self.service.is_guarded and not self.operation(operation).is_public

    # Columns of the table

    @cached_property
    def checks(self) -> list[tuple[str, str]]:
        found = [check for each in self.fields for check in each.checks]
        states = self.resource.states
        if states:
            values = ", ".join(sql_text(each) for each in states.values)
            found.append((f"{states.field}_known", f'"{states.field}" IN ({values})'))
        return found

    def column_of(self, name: str) -> str:
        relation = self.resource.relation_named(name)
        return relation.column if relation else name

    @cached_property
    def uniques(self) -> list[IndexView]:
        found = [(each.column,) for each in self.fields if each.field.unique]
        found += [(each.column,) for each in self.relations if each.relation.unique]
        found += [
            tuple(self.column_of(each) for each in one.on) for one in self.resource.indexes if one.unique
        ]
        return [
            IndexView(f"uq_{self.plural}_{'_'.join(columns)}", columns, unique=True)
            for columns in dict.fromkeys(found)
        ]

    @cached_property
    def indexes(self) -> list[IndexView]:
        """The specification's indexes, then what foreign keys and sorted lists need beyond them."""
        found = [
            tuple(self.column_of(each) for each in one.on) for one in self.resource.indexes if not one.unique
        ]
        covered = {columns[0] for columns in found} | {each.columns[0] for each in self.uniques}
        wanted = [(each.column,) for each in self.relations] + (
            [("owner_id",)] if self.is_owned_directly else []
        )
        wanted += [(each, "id") for each in self.resource.sorts]
        for columns in wanted:
            if columns[0] not in covered:
                found.append(columns)
                covered.add(columns[0])
        return [
            IndexView(f"ix_{self.plural}_{'_'.join(columns)}", columns, unique=False)
            for columns in dict.fromkeys(found)
        ]

    # Lists

    @cached_property
    def filter_fields(self) -> list[FieldView]:
        return [self.field_view(each) for each in self.resource.filters if self.resource.field_named(each)]

    @cached_property
    def filter_relations(self) -> list[RelationView]:
        return [each for each in self.relations if each.name in self.resource.filters]

    @property
    def equal_filters(self) -> list[tuple[str, str]]:
        """Parameters that must equal a column: the query's attribute and the model's."""
        found = [(each.attribute, each.model_attribute) for each in self.filter_fields]
        found += [(self.state_attribute, self.state_attribute)] if self.filters_by_state else []
        return found + [(each.column, each.column) for each in self.filter_relations]

    @property
    def ordered_filters(self) -> list[tuple[str, str]]:
        return [(each.name, each.model_attribute) for each in self.filter_fields if each.is_ordered]

    @property
    def filters_by_state(self) -> bool:
        return self.resource.states is not None and self.resource.states.field in self.resource.filters

    @cached_property
    def sorts(self) -> list[tuple[str, str]]:
        """Names to sort by, each with the model's attribute."""
        return [("created_at", "created_at"), ("updated_at", "updated_at")] + [
            (each, names.attribute(each)) for each in self.resource.sorts
        ]

    @property
    def sort_class(self) -> str:
        return f"{self.class_name}Sort"

    @cached_property
    def search_attributes(self) -> list[str]:
        return [names.attribute(each) for each in self.resource.searches]

    # Events

    def events_of(self, operation: str) -> bool:
        """Whether some integration is told of the operation."""
        return any(
            event.resource == self.name and event.operation == operation
            for each in self.service.specification.integrations
            for event in each.events
        )

    @property
    def has_events(self) -> bool:
        return any(self.events_of(each) for each in self.resource.all_operations)

    # What the services need

    @property
    def has_filters(self) -> bool:
        return bool(
            self.filter_fields or self.filter_relations or self.filters_by_state or self.search_attributes
        )

    @property
    def needs_find(self) -> bool:
        return bool(self.transitions) or any(self.allows(each) for each in ("get", "update", "delete"))

    @property
    def checks_references(self) -> bool:
        return bool(self.relations) or self.is_owned_directly

    # The tests' data

    def is_varied(self, one: FieldView) -> bool:
        """Whether rows of the tests must differ in the field: it is unique, or sorted by."""
        unique = {column for each in self.uniques for column in each.columns}
        return one.column in unique or one.name in self.resource.sorts

    @property
    def variable_method(self) -> str:
        return names.fixture(self.name)

    @property
    def has_varied(self) -> bool:
        return any(self.is_varied(each) for each in self.writable)

    @cached_property
    def required_names(self) -> list[str]:
        found = [each.name for each in self.writable if each.field.required]
        return found + [each.column for each in self.relations if not each.relation.nullable]

    @cached_property
    def refused_values(self) -> list[tuple[str, Refused]]:
        found = [(each.name, one) for each in self.writable for one in each.refused]
        for relation in self.relations:
            found.append((relation.column, Refused(label="no id", source="'no-uuid'")))
            if not relation.relation.nullable:
                found.append((relation.column, Refused(label="null", source="None")))
        return found

    @cached_property
    def unique_names(self) -> list[str]:
        found = [each.name for each in self.writable if each.field.unique]
        return found + [each.column for each in self.relations if each.relation.unique and not each.is_self]

    @property
    def relation_names(self) -> list[str]:
        return [each.column for each in self.relations]

    @property
    def has_illegal_moves(self) -> bool:
        return any(each.illegal for each in self.transitions)

    @cached_property
    def owner_role(self) -> str:
        """A role whose callers have the fewest rights over rows that are not theirs."""
        return max(self.service.roles, key=lambda role: len(self._limited_operations(role)), default="")

    def _limited_operations(self, role: str) -> list[str]:
        return [each.name for each in self.operations if OWNER in each.who and not each.admits(role)]

    @property
    def owner_operations(self) -> list[str]:
        return self._limited_operations(self.owner_role) if self.is_owned and self.service.is_guarded else []

    def owner_may(self, operation: str) -> bool:
        """Whether the owners of the tests may do it with their own rows only."""
        return operation in self.owner_operations

    @property
    def foreign_requests(self) -> list[tuple[str, str]]:
        """Method and path's end of each request that must not reach a foreign row."""
        methods = {"get": "GET", "update": "PATCH", "delete": "DELETE"}
        found = [(method, "") for name, method in methods.items() if self.owner_may(name)]
        return found + [("POST", f"/{each.name}") for each in self.transitions if self.owner_may(each.name)]

    @property
    def owned_parameter(self) -> str:
        return ", owner: models." + self.service.account_class + " | None = None" if self.is_owned else ""

    @property
    def headline(self) -> FieldView | None:
        """A field that an update can change: not unique where that can be helped."""
        candidates = [each for each in self.writable if not each.field.write_only and len(each.some_samples) > 1]
        return next((each for each in candidates if not self.is_varied(each)), candidates[0] if candidates else None)

    @property
    def nullable_sort(self) -> FieldView | None:
        """A field to sort by that may be null."""
        found = (self.field_view(each) for each in self.resource.sorts if self.resource.field_named(each))
        return next((each for each in found if each.field.nullable), None)

    @cached_property
    def sort_fields(self) -> list[FieldView]:
        return [self.field_view(each) for each in self.resource.sorts if self.resource.field_named(each)]

    @cached_property
    def search_field(self) -> FieldView | None:
        """A field to search in whose words the tests can choose freely."""
        found = (self.field_view(each) for each in self.resource.searches)
        return next((each for each in found if not each.field.pattern and each.field.type in _FREE_TEXT), None)

    # Examples of the OpenAPI document

    def example_id(self, number: int = 0) -> str:
        """An id that is the same wherever the document shows a row of this resource."""
        position = next(index for index, each in enumerate(self.service.resources) if each.name == self.name)
        return str(UUID(int=0x0198C0DE00007000800000000000_0000 + position * 256 + number))

    @cached_property
    def create_example(self) -> dict[str, object]:
        values: dict[str, object] = {each.name: each.sample() for each in self.writable}
        values |= {
            each.column: each.parent.example_id(1 if each.is_self else 0)
            for each in self.relations
            if not each.is_self
        }
        return values | {
            each.attribute: [each.target.example_id()] for each in self.links if each.target.name != self.name
        }

    @cached_property
    def update_example(self) -> dict[str, object]:
        values: dict[str, object] = {each.name: each.sample(1) for each in self.writable[:1]}
        return values | {"version": 1}

    @cached_property
    def read_example(self) -> dict[str, object]:
        values: dict[str, object] = {"id": self.example_id()}
        values |= {
            each.name: each.shown() if not each.field.read_only else each.shown_default
            for each in self.readable
        }
        if self.resource.states:
            values[self.resource.states.field] = self.resource.states.initial
        values |= {each.column: None if each.is_self else each.parent.example_id() for each in self.relations}
        values |= {
            each.attribute: [] if each.target.name == self.name else [each.target.example_id()]
            for each in self.links
        }
        if self.is_owned_directly:
            values["owner_id"] = str(UUID(int=0x0198C0DE00007000800000000000_FFFF))
        moment = "2026-01-15T12:00:00Z"
        return values | {"created_at": moment, "updated_at": moment, "version": 1}


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
    def needs_today(self) -> bool:
        defaults = [each.field.default for resource in self.resources for each in resource.fields]
        sets = [value for resource in self.resources for move in resource.transitions for value in move.transition.sets.values()]
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
