"""Connections for guarded requests: what is connected to is what was checked.

Imported when the first such request is made, for httpcore2.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import httpcore2
from httpcore2 import AsyncNetworkBackend, AsyncNetworkStream

from chargehand.errors import AddressRefused, ToolError
from chargehand.network.addresses import HostRules, Resolve


@dataclass(slots=True)
class GuardedNetwork(AsyncNetworkBackend):
    """Resolves a name once, checks every address, and dials one of those."""

    rules: HostRules
    resolve: Resolve

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the base class has it
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> AsyncNetworkStream:
        """A stream to the host; ToolError when one of its addresses is not to be talked to."""
        if not self.rules.allows(host.lower(), port):
            raise ToolError(f"{host}:{port} is not among the hosts that the operator allows")
        try:
            addresses = list(await self.resolve(host, port))
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"the name {host!r} cannot be resolved: {error}") from error
        refusal = self.rules.refusal(host, port, addresses)
        if refusal is not None:
            raise AddressRefused(f"{host}:{port} is not talked to: {refusal}")
        dialer = cast("AsyncNetworkBackend", httpcore2.AnyIOBackend())
        failure: Exception | None = None
        for address in addresses:
            try:
                return await dialer.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure or httpcore2.ConnectError(f"{host} has no address")

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - the base class has it
        socket_options: Iterable[Any] | None = None,
    ) -> AsyncNetworkStream:
        """Never."""
        raise ToolError("sockets of this machine are not talked to")
