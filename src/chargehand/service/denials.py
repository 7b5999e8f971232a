"""Attempts that were refused: who lacked a right, and where requests without a valid key came from.

Rule: a flood of them costs little. The first of its kind within a minute is written at once, the others of that minute
are counted and told in one entry with the next that is written, or when the audit is read, or at the end. What was only
counted is lost when the process is killed.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from chargehand.clock import Clock
from chargehand.domain.access import DEFAULT_TENANT, Principal
from chargehand.domain.audit import Action, Result
from chargehand.errors import ChargehandError
from chargehand.service.audit_records import Actor, actor_of, append
from chargehand.service.origin import Origin, origin
from chargehand.store.database import Database, retried

WINDOW_SECONDS = 60.0
MOST_KINDS = 1_000
"""Kinds that are counted apart within a minute; the addresses beyond are counted together."""
WRITES_A_SECOND = 20
"""First ones that are written at once; in a flood from many addresses the others are only counted."""
ELSEWHERE = "others"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Kind:
    """What counts as the same."""

    tenant: str
    actor: Actor
    action: Action
    what: str
    address: str


@dataclass(slots=True)
class _Window:
    """What came of one kind since its window began, and is not written yet."""

    until: float
    since: datetime
    """When the first of those that are counted came."""
    count: int = 0
    request_id: str | None = None


NOBODY = Actor(id="", kind="anonymous")


@dataclass(slots=True)
class Denials:
    """Beside the requests: what goes wrong here changes no answer."""

    db: Database
    clock: Clock
    _windows: dict[_Kind, _Window] = field(default_factory=dict[_Kind, _Window])
    _second: float = -1.0
    _written: int = 0
    _writing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def forbidden(self, who: Principal, what: str) -> None:
        """Somebody's key lacked the right for `what`, such as `DELETE /secrets/{name}`."""
        await self._note(who.tenant, actor_of(who), Action.REQUEST_DENIED, what)

    async def unauthenticated(self) -> None:
        """A request came without a valid key. Told to the operator: it is of no tenant."""
        await self._note(DEFAULT_TENANT, NOBODY, Action.REQUEST_UNAUTHENTICATED, "")

    async def flush(self) -> None:
        """Write what was counted."""
        async with self._writing:
            pending = [(kind, window) for kind, window in self._windows.items() if window.count]
            self._forget_old(self.clock.monotonic())
            for tenant in sorted({kind.tenant for kind, _ in pending}):
                await self._written_down([one for one in pending if one[0].tenant == tenant])

    async def _note(self, tenant: str, actor: Actor, action: Action, what: str) -> None:
        came = origin()
        kind, now = _Kind(tenant, actor, action, what, came.address), self.clock.monotonic()
        window = self._windows.get(kind)
        if window is None and len(self._windows) >= MOST_KINDS:
            self._forget_old(now)
            if len(self._windows) >= MOST_KINDS:
                kind = _Kind(tenant, NOBODY, action, "", ELSEWHERE)
                window = self._windows.get(kind)
        is_first = window is None or window.until <= now
        if window is None:
            window = self._windows[kind] = _Window(now + WINDOW_SECONDS, self.clock.now())
        if window.count == 0:
            window.since = self.clock.now()
        window.count += 1
        window.request_id = came.request_id
        if is_first and self._may_write(now):
            window.until = now + WINDOW_SECONDS
            async with self._writing:
                await self._written_down([(kind, window)])

    def _forget_old(self, now: float) -> None:
        self._windows = {kind: one for kind, one in self._windows.items() if one.count or one.until > now}

    def _may_write(self, now: float) -> bool:
        if now - self._second >= 1:
            self._second, self._written = now, 0
        self._written += 1
        return self._written <= WRITES_A_SECOND

    async def _written_down(self, some: Sequence[tuple[_Kind, _Window]]) -> None:
        """One transaction, of one tenant."""
        some = [(kind, window) for kind, window in some if window.count]
        told = [(kind, replace(window)) for kind, window in some]
        if not told:
            return
        for _, window in some:
            window.count = 0
        try:
            await self._write(told)
        except (ChargehandError, OSError) as error:
            for (_, window), (_, before) in zip(some, told, strict=True):
                window.count, window.since = window.count + before.count, before.since
            logger.warning("refused attempts are not in the audit: %s", error)

    @retried
    async def _write(self, told: Sequence[tuple[_Kind, _Window]]) -> None:
        tenant = told[0][0].tenant
        async with self.db.write(tenant) as tx:
            for kind, window in told:
                await append(
                    tx,
                    tenant,
                    kind.actor,
                    kind.action,
                    kind.what,
                    details={"count": window.count, "since": window.since.isoformat()},
                    result=Result.DENIED,
                    came_from=Origin(kind.address, window.request_id),
                )
