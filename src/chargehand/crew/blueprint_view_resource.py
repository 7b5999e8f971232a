"""A resource as the templates see it: its names in code, its columns, lists, states, and who may do what."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from chargehand.crew import blueprint_names as names
from chargehand.crew.blueprint_columns import FieldView, enum_width, pascal, sql_text
from chargehand.crew.blueprint_view_examples import ResourceExamples
from chargehand.crew.blueprint_view_relations import (
    IndexView,
    LinkView,
    OperationView,
    RelationView,
    TransitionView,
)
from chargehand.crew.blueprint_view_tests import ResourceTests
from chargehand.crew.specification_model import ACCOUNT, Resource

if TYPE_CHECKING:
    from chargehand.crew.blueprint_views import ServiceView


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
    def create_conflicts(self) -> str:
        """What a create can collide with, in words."""
        reasons = ["a missing reference"] if self.relations or self.links else []
        reasons += ["a value that must be unique"] if self.uniques else []
        return f"; raises Conflict for {' or '.join(reasons)}" if reasons else ""

    @property
    def checks_references(self) -> bool:
        return bool(self.relations) or self.is_owned_directly

    def is_varied(self, one: FieldView) -> bool:
        """Whether rows of the tests must differ in the field: it is unique, or sorted by."""
        unique = {column for each in self.uniques for column in each.columns}
        return one.column in unique or one.name in self.resource.sorts

    @property
    def variable_method(self) -> str:
        return names.fixture(self.name)

    @property
    def headline(self) -> FieldView | None:
        """A field that an update can change: not unique where that can be helped."""
        candidates = [
            each for each in self.writable if not each.field.write_only and len(each.some_samples) > 1
        ]
        return next(
            (each for each in candidates if not self.is_varied(each)), candidates[0] if candidates else None
        )

    @cached_property
    def tests(self) -> "ResourceTests":
        """What the tests of the resource are made of."""
        return ResourceTests(self)

    @cached_property
    def examples(self) -> "ResourceExamples":
        """What the OpenAPI document shows of the resource."""
        return ResourceExamples(self)
