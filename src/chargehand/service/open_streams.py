"""Streams of events that are open in this process: of all, of each tenant, of each key.

Rule: a stream that is one too many is refused before anything is read for it.
"""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from chargehand.domain.access import Principal
from chargehand.errors import TooManyRequests
from chargehand.service.tenant_limits import LimitsOfTenants

MOST_OF_ALL = 2000


class OpenStreams:
    """Counts them, and refuses by the limits."""

    def __init__(self, limits: LimitsOfTenants, *, most_of_key: int | None, most: int = MOST_OF_ALL) -> None:
        self._limits = limits
        self._most_of_key = most_of_key
        self._most = most
        self._of_tenant: Counter[str] = Counter()
        self._of_key: Counter[str] = Counter()

    async def check(self, who: Principal) -> None:
        """TooManyRequests when the caller, its tenant or all together have as many open as they may."""
        most_of_tenant = (await self._limits.of(who.tenant)).streams
        if most_of_tenant is not None and self._of_tenant[who.tenant] >= most_of_tenant:
            raise _refused(f"this tenant has {most_of_tenant}", "CHARGEHAND_TENANT_STREAMS, or its own limit")
        if self._most_of_key is not None and self._of_key[who.id] >= self._most_of_key:
            raise _refused(f"this key has {self._most_of_key}", "CHARGEHAND_KEY_STREAMS")
        if self._of_tenant.total() >= self._most:
            raise TooManyRequests(f"{self._most} streams are open already; read pages, or come back later")

    @contextmanager
    def opened(self, who: Principal) -> Generator[None, None, None]:
        """One is open for as long as the block."""
        self._of_tenant[who.tenant] += 1
        self._of_key[who.id] += 1
        try:
            yield
        finally:
            _less(self._of_tenant, who.tenant)
            _less(self._of_key, who.id)

    def of(self, tenant: str) -> int:
        """How many a tenant has open here."""
        return self._of_tenant[tenant]


def _less(counts: Counter[str], name: str) -> None:
    counts[name] -= 1
    if not counts[name]:
        del counts[name]


def _refused(have: str, setting: str) -> TooManyRequests:
    return TooManyRequests(
        f"{have} streams of events open here, which is the most ({setting}); close one, or read pages"
    )
