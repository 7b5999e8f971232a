"""The database's doors, as a port: `read()`, `glance()` and `write()`; and how a use case that lost a race runs again.

Rule: a write transaction is short and awaits nothing but the database. Leaving the block commits; only then are
the hints sent that it collected. Rows that are read and then written are held (FOR UPDATE): on SQLite there is one
writer and nothing to hold, on a server the same statements meet others.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from functools import wraps
from json import JSONDecoder
from types import CoroutineType
from typing import Any, ParamSpec, Protocol, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from chargehand.errors import RaceLost

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")

RACES = 8
"""How often a use case is begun before a race that it loses again and again is told to its caller."""
FIRST_PAUSE_SECONDS = 0.005

_raw_decode = JSONDecoder().raw_decode


class Outbox(Protocol):
    """Whom events are told to, as a port: store/outbox.py."""

    async def ready(self) -> None:
        """Before a transaction begins, for the look that it may take: know who is told what of its events."""
        ...

    async def put(self, tx: "Tx", events: Sequence[Mapping[str, Any]]) -> None:
        """Store, in the transaction of these events (store/history.py's rows), what is to be sent of them."""
        ...


@dataclass(slots=True, kw_only=True)
class Tx:
    """One open transaction: its connection, the database's time, and what to tell whom after the commit."""

    connection: AsyncConnection
    """Or an InlineConnection (store/inline.py), which stands in for one."""
    now: datetime
    outbox: Outbox | None = None
    _hints: list[Callable[[], None]] = field(default_factory=list[Callable[[], None]])

    def after_commit(self, hint: Callable[[], None]) -> None:
        """Call `hint` once the transaction is durable; a rollback forgets it."""
        self._hints.append(hint)

    def send_hints(self) -> None:
        """Tell everybody; for the adapters, after the commit."""
        for hint in self._hints:
            hint()


class Database(ABC):
    """An opened database.

    A door opened for a `tenant` shows that tenant's rows alone where the server can see to it (store/tenant_wall.py).
    That is a second wall. The first: a statement on tenants' rows names the tenant itself, or whoever had it read a row
    by its id alone checks the row's tenant right after.
    """

    outbox: Outbox | None = None
    """Where events go that somebody outside is to be told of."""

    @abstractmethod
    def read(self, tenant: str | None = None) -> AbstractAsyncContextManager[Tx]:
        """Each statement sees what was last committed; readers never block a writer, nor a writer them."""

    @abstractmethod
    def glance(self, tenant: str | None = None) -> AbstractAsyncContextManager[Tx]:
        """As `read`, for a few rows by their keys."""

    @abstractmethod
    def write(self, tenant: str | None = None) -> AbstractAsyncContextManager[Tx]:
        """A transaction. It is durable before the hints are sent.

        A cancel of the caller is raised before the commit or after the hints; so what is durable is always told.
        Where the commit fails, it is raised instead of the fault.
        RaceLost when another transaction was in the way: the use case is `retried`.
        """

    @abstractmethod
    async def stop(self) -> None:
        """Let open transactions end, take no more, close every connection."""


def retried(
    use_case: Callable[Arguments, "CoroutineType[Any, Any, Answer]"],
) -> Callable[Arguments, "CoroutineType[Any, Any, Answer]"]:
    """For a function with one write transaction: begin it anew when it lost a race, of which nothing is left."""

    @wraps(use_case)
    async def begun_anew(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        for race in range(RACES - 1):
            try:
                return await use_case(*args, **kwargs)
            except RaceLost:
                await asyncio.sleep(FIRST_PAUSE_SECONDS * 2**race)
        return await use_case(*args, **kwargs)

    return begun_anew


def from_json(text: str) -> Any:
    """As `json.loads` of a text that `json.dumps` wrote, without the looks at what may stand around it."""
    value, _ = _raw_decode(text)
    return value
