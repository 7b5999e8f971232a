"""Places at hosts: how many requests one host gets at once.

Rule: who has no place waits for one within the time of its own request; a host that nobody asks is forgotten.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

PLACES_AT_A_HOST = 4


@dataclass(slots=True)
class _Host:
    places: asyncio.Semaphore
    users: int = 0


@dataclass(slots=True)
class Places:
    """The places of one client."""

    most: int = PLACES_AT_A_HOST
    _hosts: dict[str, _Host] = field(default_factory=dict[str, _Host])

    @asynccontextmanager
    async def one_at(self, host: str) -> AsyncGenerator[None, None]:
        """A place at this host for as long as the block."""
        known = self._hosts.setdefault(host, _Host(asyncio.Semaphore(self.most)))
        known.users += 1
        try:
            async with known.places:
                yield
        finally:
            known.users -= 1
            if not known.users:
                del self._hosts[host]
