"""A service specification as frozen values: what the blueprints render from.

Rule: everything here is already checked; a renderer never asks whether a reference or a name is good.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TypeAlias

Value: TypeAlias = str | int | float | bool | None
"""A literal of the specification: a default, an example, what a transition sets."""

PUBLIC = "public"
AUTHENTICATED = "authenticated"
OWNER = "owner"
ACCOUNT = "account"

CRUD_OPERATIONS = ("list", "get", "create", "update", "delete")


def plural_of(name: str) -> str:
    """The plural by the common English rules; what it misses is given as `plural:`."""
    if name.endswith("y") and name[-2:-1] not in set("aeiou"):
        return name[:-1] + "ies"
    return name + ("es" if name.endswith(("s", "x", "z", "ch", "sh")) else "s")


def singular_of(name: str) -> str:
    """The singular, by the same rules; a word that is none of their plurals stays as it is."""
    if name.endswith(("series", "species")):
        return name
    if name.endswith("ies") and len(name) > 4:
        return name[:-3] + "y"
    if name.endswith(("sses", "xes", "zes", "ches", "shes")):
        return name[:-2]
    return name[:-1] if name.endswith("s") and not name.endswith(("ss", "us", "is")) else name


class FieldType(StrEnum):
    """The types a field can have."""

    STRING = "string"
    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"
    UUID = "uuid"
    ENUM = "enum"
    EMAIL = "email"
    URL = "url"
    PASSWORD = "password"  # noqa: S105  the name of a type


class OnDelete(StrEnum):
    """What happens to a row when the row it belongs to is deleted."""

    RESTRICT = "restrict"
    CASCADE = "cascade"
    SET_NULL = "set_null"


class AuthenticationMethod(StrEnum):
    """How a caller proves who it is."""

    NONE = "none"
    API_KEY = "api_key"
    JWT = "jwt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One typed attribute of a resource.

    `required`: a create must name it; `nullable`: it may be null. A `read_only` field is set by the
    service alone (by its default or by a transition), a `write_only` one is taken and never shown; a
    password is stored hashed.
    """

    name: str
    type: FieldType
    description: str = ""
    required: bool = True
    nullable: bool = False
    unique: bool = False
    minimum: int | float | str | None = None
    maximum: int | float | str | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    precision: int | None = None
    scale: int | None = None
    values: tuple[str, ...] = ()
    default: Value = None
    read_only: bool = False
    write_only: bool = False
    example: Value = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BelongsTo:
    """A reference to one row of another resource (or of the same); its column is `<name>_id`.

    `nested` is the last part of the nested collection's path, as `books` in `/authors/{author_id}/books`.
    """

    name: str
    resource: str
    on_delete: OnDelete = OnDelete.RESTRICT
    nullable: bool = False
    unique: bool = False
    nested: str | None = None
    description: str = ""

    @property
    def column(self) -> str:
        return f"{self.name}_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class ManyToMany:
    """A set of references to rows of another resource; callers see it as `<singular>_ids`."""

    name: str
    resource: str
    description: str = ""

    @property
    def attribute(self) -> str:
        return f"{singular_of(self.name)}_ids"


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """A composite index; `on` names fields, belongs_to relations or the state field."""

    on: tuple[str, ...]
    unique: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A move between states: `POST /<plural>/{id}/<name>`; illegal from any state but `sources`."""

    name: str
    sources: tuple[str, ...]
    target: str
    sets: Mapping[str, Value] = field(default_factory=lambda: MappingProxyType({}))
    description: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class States:
    """The states of a resource: a read-only field that only transitions change."""

    field: str
    values: tuple[str, ...]
    initial: str
    transitions: tuple[Transition, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One kind of thing the service keeps.

    `permissions` has an entry for each of `operations` and each transition: who may, as role names,
    `public`, `authenticated` or `owner`. `owned_by` is `account`, or the belongs_to relation through which a
    row is owned.
    """

    name: str
    plural: str
    description: str = ""
    fields: tuple[Field, ...] = ()
    belongs_to: tuple[BelongsTo, ...] = ()
    many_to_many: tuple[ManyToMany, ...] = ()
    indexes: tuple[Index, ...] = ()
    operations: tuple[str, ...] = CRUD_OPERATIONS
    filters: tuple[str, ...] = ()
    sorts: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    states: States | None = None
    owned_by: str | None = None
    permissions: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def all_operations(self) -> tuple[str, ...]:
        """The CRUD operations that are offered, then the transitions."""
        return self.operations + tuple(move.name for move in (self.states.transitions if self.states else ()))

    def field_named(self, name: str) -> Field | None:
        return next((each for each in self.fields if each.name == name), None)

    def relation_named(self, name: str) -> BelongsTo | None:
        return next((each for each in self.belongs_to if each.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """How callers are known. `registration` is the role of those who register; None: nobody can."""

    method: AuthenticationMethod = AuthenticationMethod.NONE
    roles: tuple[str, ...] = ()
    registration: str | None = None
    access_token_minutes: int = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """How many requests one client may send in a window."""

    requests: int = 300
    per_seconds: int = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Pagination:
    """Page sizes of every list."""

    default: int = 20
    maximum: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class PerformanceTarget:
    """What one operation (`book.list`, `loan.return`) must hold."""

    resource: str
    operation: str
    p95_ms: float | None = None
    requests_per_second: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """The performance needs; `volume` is how many rows of a resource are there when they are measured."""

    targets: tuple[PerformanceTarget, ...] = ()
    volume: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True, kw_only=True)
class IntegrationEvent:
    """Which operation is told to an integration, and at which path of it."""

    resource: str
    operation: str
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Integration:
    """Another HTTP service that is told of events, at least once, behind a circuit breaker."""

    name: str
    description: str = ""
    base_url_env: str = ""
    token_env: str = ""
    timeout_seconds: float = 5.0
    retries: int = 3
    circuit_failures: int = 5
    circuit_reset_seconds: float = 30.0
    events: tuple[IntegrationEvent, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSpecification:
    """A whole service, as its architect wants it."""

    name: str
    title: str
    description: str = ""
    version: str = "1.0.0"
    authentication: Authentication = field(default_factory=Authentication)
    rate_limit: RateLimit = field(default_factory=RateLimit)
    pagination: Pagination = field(default_factory=Pagination)
    resources: tuple[Resource, ...] = ()
    performance: Performance = field(default_factory=Performance)
    integrations: tuple[Integration, ...] = ()

    @property
    def package(self) -> str:
        """The Python package that the service becomes."""
        return self.name.replace("-", "_")

    def resource_named(self, name: str) -> Resource:
        return next(each for each in self.resources if each.name == name)
