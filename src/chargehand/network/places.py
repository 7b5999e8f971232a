"""Places at hosts: how many requests one host gets at once.

Rule: who has no place waits for one within the time of its own request; a host that nobody asks is forgotten. However
a host and its port are written, they are one host: else each way of writing had places of its own.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import SplitResult

from chargehand.network.addresses import written_address

PLACES_AT_A_HOST = 4


def port_of(place: SplitResult) -> int:
    """The port that is connected to. ValueError when what stands there is none."""
    return place.port or (443 if place.scheme == "https" else 80)


def host_of(place: SplitResult) -> str:
    """The host and port whose places a request to this address takes; ValueError as above."""
    host = place.hostname or ""
    return f"{written_address(host) or host.rstrip('.')}:{port_of(place)}"


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
