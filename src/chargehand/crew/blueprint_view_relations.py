"""Relations, transitions and operations of a resource, as the templates see them."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chargehand.crew import blueprint_names as names
from chargehand.crew.specification_model import (
    AUTHENTICATED,
    OWNER,
    PUBLIC,
    BelongsTo,
    ManyToMany,
    OnDelete,
    Transition,
    singular_of,
)

if TYPE_CHECKING:
    from chargehand.crew.blueprint_view_resource import ResourceView


def limit_of(target: "ResourceView", holder: "ResourceView") -> str | None:
    """Python source of whether a caller may refer to none but their own rows of the target; None: to every row."""
    if not (target.is_owned and holder.is_owned and holder.service.is_guarded):
        return None
    name = next((each for each in ("get", "list") if target.allows(each)), None)
    if name is None:
        return "caller.own_only"
    seeing = target.operation(name)
    if seeing.is_public or AUTHENTICATED in seeing.who:
        return None
    return f"not PERMISSIONS[{seeing.key!r}].sees_all(caller)"


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
    def limit(self) -> str | None:
        """When only the caller's own parents may be referred to; the one through which a row is owned is one's own."""
        owner = self.child.owner_relation
        return "caller.own_only" if owner and owner.name == self.name else limit_of(self.parent, self.child)

    @property
    def parent_caller(self) -> bool:
        """Whether the nested list needs the caller as the parent's `get` sees them."""
        parent = self.parent
        return parent.is_owned and parent.allows("get") and parent.is_guarded("get")

    @property
    def parent_scoped(self) -> bool:
        """Whether only the caller's own parents are there for some callers."""
        is_open = self.parent.allows("get") and not self.parent.is_guarded("get")
        return self.parent.is_owned and not is_open and (self.parent_caller or self.child.is_owned)

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
        operations = [self.child.operation("list")] + (
            [self.parent.operation("get")] if self.parent.allows("get") else []
        )
        guarded = [each for each in operations if not each.is_public]
        if not guarded or not self.child.service.is_guarded:
            return "{}"
        for role in self.child.service.roles:
            if all(each.admits(role) for each in guarded):
                return f"given.headers_of(given.account({role!r}))"
        return "given.headers_of(account)" if self.child.is_owned and self.parent.is_owned else None

    @property
    def owner_may_get(self) -> bool:
        return (
            self.parent.allows("get")
            and OWNER in self.parent.operation("get").who
            and self.parent.tests.owner_may("get")
        )

    @property
    def deletion_name(self) -> str:
        words = {
            OnDelete.RESTRICT: "is_refused",
            OnDelete.CASCADE: "removes_them",
            OnDelete.SET_NULL: "keeps_them",
        }
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
    def limit(self) -> str | None:
        """When only the caller's own rows may be referred to."""
        return limit_of(self.target, self.owner)

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
