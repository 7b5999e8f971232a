"""The architect's review of a specification: decisions that follow from it, and risks that it leaves open.

Everything is derived from the specification; nothing is guessed. A risk names what limits it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from chargehand.crew.specification_model import (
    OWNER,
    PUBLIC,
    AuthenticationMethod,
    PerformanceTarget,
    Resource,
    ServiceSpecification,
)

WRITES = ("create", "update", "delete")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Something that was settled: what, why, and what was passed over."""

    title: str
    because: str
    instead_of: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Risk:
    """Something that can go wrong, and what limits it."""

    title: str
    limited_by: str


def decisions(spec: ServiceSpecification) -> list[Decision]:
    """What the specification settles, in the order in which a reader asks."""
    return [
        _storage(spec),
        _authentication(spec),
        *_ownership(spec),
        *_states(spec),
        *_integrations(spec),
        Decision(
            title=f"Pages of at most {spec.pagination.maximum} rows, by cursor",
            because="a cursor stays right while rows come and go, and its cost does not grow with the page's number",
            instead_of="page numbers, which skip and repeat rows under writes",
        ),
        Decision(
            title=f"{spec.rate_limit.requests} requests per client in {spec.rate_limit.per_seconds} s",
            because="one client must not be able to use up the service",
            instead_of="no limit, or one at the proxy alone that knows no callers",
        ),
    ]


def risks(spec: ServiceSpecification) -> list[Risk]:
    """What the specification leaves open to go wrong."""
    found = [
        *(_public_writes(resource) for resource in spec.resources),
        *(_dead_ends(resource) for resource in spec.resources),
        *(_unindexed_search(resource) for resource in spec.resources),
        *(_unmeasured(spec, resource) for resource in spec.resources),
    ]
    single = Risk(
        title="SQLite takes one writer at a time; sustained writes queue",
        limited_by="write-ahead log, short transactions, a busy time-out; the models use no SQLite-only types",
    )
    return [single, *(one for some in found for one in some)]


def target_words(target: PerformanceTarget) -> str:
    """A performance need in words."""
    parts = [f"p95 ≤ {target.p95_ms:g} ms"] if target.p95_ms is not None else []
    if target.requests_per_second is not None:
        parts.append(f"≥ {target.requests_per_second:g} requests/s")
    return f"`{target.resource}.{target.operation}`: {', '.join(parts)}"


def _storage(spec: ServiceSpecification) -> Decision:
    rows = ", ".join(f"{count:,} {name}" for name, count in spec.performance.volume.items())
    size = f"the data is small ({rows} when measured)" if rows else "no data volume is named"
    return Decision(
        title="SQLite through SQLAlchemy's async engine, migrations by Alembic",
        because=f"{size}, and a service that is one process and one file is the easiest to run and to back up",
        instead_of="a database server, which the same models and migrations can move to",
    )


def _authentication(spec: ServiceSpecification) -> Decision:
    authentication = spec.authentication
    match authentication.method:
        case AuthenticationMethod.JWT:
            return Decision(
                title=f"Access tokens (JWT) that live {authentication.access_token_minutes} minutes",
                because=f"a request is checked without looking up a session; roles: {_listed(authentication.roles)}",
                instead_of="long-lived tokens, which cannot be taken back",
            )
        case AuthenticationMethod.API_KEY:
            return Decision(
                title="API keys, kept only as hashes",
                because="the callers are programs; a key can be revoked at once",
                instead_of="user accounts, which nobody would log in to",
            )
        case AuthenticationMethod.NONE:
            return Decision(
                title="No authentication",
                because="the specification asks for none; the service binds to loopback",
                instead_of="accounts without anything to protect",
            )


def _ownership(spec: ServiceSpecification) -> Iterator[Decision]:
    owned = [resource.plural for resource in spec.resources if resource.owned_by]
    if owned:
        yield Decision(
            title=f"Ownership of {_listed(owned)} is a condition of every query",
            because="a foreign row must look like an absent one (404), in lists as well as by id",
            instead_of="a check after loading, which one forgotten route leaves open",
        )


def _states(spec: ServiceSpecification) -> Iterator[Decision]:
    for resource in spec.resources:
        if resource.states:
            moves = _listed([move.name for move in resource.states.transitions])
            yield Decision(
                title=f"The state of a {resource.name} changes only by {moves}",
                because="an illegal move is a conflict (409) that the database sees too, not a field anyone can set",
                instead_of="a writable status field",
            )


def _integrations(spec: ServiceSpecification) -> Iterator[Decision]:
    for integration in spec.integrations:
        yield Decision(
            title=f"{integration.name} is told through an outbox",
            because="the event is stored with the change it tells of, so neither can be lost alone",
            instead_of="a call inside the request, which fails or waits with the other service",
        )


def _public_writes(resource: Resource) -> Iterator[Risk]:
    open_to_all = [name for name in WRITES if PUBLIC in resource.permissions.get(name, ())]
    if open_to_all:
        yield Risk(
            title=f"Anybody may {_listed(open_to_all)} {resource.plural}",
            limited_by="the rate limit and the size limits; give these operations a role if that is not meant",
        )


def _dead_ends(resource: Resource) -> Iterator[Risk]:
    if resource.states is None:
        return
    left = {source for move in resource.states.transitions for source in move.sources}
    final = [value for value in resource.states.values if value not in left]
    if final and OWNER in resource.permissions.get("delete", ()):
        yield Risk(
            title=f"Owners may delete a {resource.name} that is {_listed(final)}, and its history with it",
            limited_by="the permission of `delete`; narrow it if the history must stay",
        )


def _unindexed_search(resource: Resource) -> Iterator[Risk]:
    if resource.searches:
        yield Risk(
            title=f"Searching {resource.plural} reads every row ({_listed(resource.searches)} may match anywhere)",
            limited_by="page size and the measured volume; beyond about 100,000 rows use a full-text index",
        )


def _unmeasured(spec: ServiceSpecification, resource: Resource) -> Iterator[Risk]:
    if spec.performance.targets and not any(
        one.resource == resource.name for one in spec.performance.targets
    ):
        yield Risk(
            title=f"No performance need names an operation on {resource.plural}",
            limited_by="the health measurement as a floor; name one if their speed matters",
        )


def _listed(names: tuple[str, ...] | list[str]) -> str:
    if len(names) < 2:
        return "".join(names) or "none"
    return f"{', '.join(names[:-1])} and {names[-1]}"
