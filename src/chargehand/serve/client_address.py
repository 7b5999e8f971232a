"""Where a request comes from, also behind proxies.

Rule: X-Forwarded-For can be written by anyone. It is read from the right, and only as far as each hop is a proxy that
the operator named; the first one that is not is the client. RFC 7239's `Forwarded` is not read.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import ASGIApp, Receive, Scope, Send

from chargehand.errors import InvalidInput

UNKNOWN = "unknown"
MOST_HOPS = 32
"""Proxies between a client and us; what names more is not read further."""
WIDEST_IPV4, WIDEST_IPV6 = 8, 16
"""The shortest prefixes that proxies may be named by: wider ones trust the internet."""
NETWORK_BITS = 64
"""What one customer gets of IPv6 at least; the addresses in it are one client's to choose."""

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def trusted_networks(proxies: Iterable[str]) -> tuple[Network, ...]:
    """What CHARGEHAND_TRUSTED_PROXIES names; InvalidInput for what is none, or too much."""
    networks: list[Network] = []
    for text in proxies:
        try:
            network = ip_network(text.strip())
        except ValueError:
            raise InvalidInput(
                f"CHARGEHAND_TRUSTED_PROXIES: {text!r} is no address or network; write 10.0.0.5 or 10.1.0.0/16"
            ) from None
        if network.prefixlen < (WIDEST_IPV4 if network.version == 4 else WIDEST_IPV6):
            raise InvalidInput(
                f"CHARGEHAND_TRUSTED_PROXIES: {text!r} would let anyone choose the address that limits and the audit"
                " log see; name the proxies themselves"
            )
        networks.append(network)
    return tuple(networks)


class ClientAddress:
    """Puts the client's address into the scope (pure ASGI)."""

    def __init__(self, app: ASGIApp, trusted_proxies: Iterable[str]) -> None:
        self._app = app
        self._trusted = trusted_networks(trusted_proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._trusted and scope["type"] == "http":
            scope["client_address"] = self._behind_proxies(_peer(scope), scope["headers"])
        await self._app(scope, receive, send)

    def _behind_proxies(self, peer: str, headers: Sequence[tuple[bytes, bytes]]) -> str:
        hop = _parsed(peer)
        if hop is None or not self._is_trusted(hop):
            return peer
        told = b",".join(value for name, value in headers if name == b"x-forwarded-for").decode("latin-1")
        for text in reversed(told.rsplit(",", MOST_HOPS)[-MOST_HOPS:]):
            before = _parsed(_without_port(text.strip()))
            if before is None:
                # What no proxy writes: all that can be said is that it came through the last hop.
                break
            hop = before
            if not self._is_trusted(hop):
                break
        return str(hop)

    def _is_trusted(self, address: Address) -> bool:
        return any(address.version == one.version and address in one for one in self._trusted)


def address_of(scope: Scope) -> str:
    """The client's address: the peer's, or what trusted proxies say; `unknown` where there is none."""
    found: str | None = scope.get("client_address")
    return found if found is not None else _peer(scope)


@lru_cache(maxsize=4096)
def limited_as(address: str) -> str:
    """What an address is counted under: itself, or its network of IPv6."""
    found = _parsed(address)
    if found is None or found.version == 4:
        return address if found is None else str(found)
    return str(ip_network((found, NETWORK_BITS), strict=False))


def _peer(scope: Scope) -> str:
    client: tuple[str, int] | None = scope.get("client")
    return client[0] if client else UNKNOWN


def _parsed(text: str) -> Address | None:
    try:
        # Without the zone of a link-local address: it says which of our own cables it came over.
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if address.version == 6 and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _without_port(text: str) -> str:
    """Some proxies write the client's port behind its address, as `192.0.2.1:4711` or `[2001:db8::1]:4711`."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text
