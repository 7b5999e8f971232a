"""Which addresses of the network a service may talk to on somebody else's behalf.

Rule: an address that carries another one (IPv4 in IPv6) is judged by both; what cannot be judged is refused.
"""

import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a name; a port, so that tests can answer as a hostile name server would."""

_NEVER = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4",
        "168.63.129.16/32", "192.0.0.0/24", "100.100.100.200/32",  # what clouds answer machines at
        "::/128", "fe80::/10", "ff00::/8", "fd00:ec2::254/128",
        "2002::/16", "2001::/32", "64:ff9b:1::/48", "::ffff:0:0:0/96",  # tunnels to an address that the path decides
    )
)  # fmt: skip
"""Refused even where private addresses are allowed: nobody means them, and metadata services lie there."""

_PRIVATE = tuple(ipaddress.ip_network(text) for text in ("192.88.99.0/24", "fec0::/10"))
"""Besides what `is_global` knows."""

_CARRIERS = (
    ipaddress.ip_network("::ffff:0:0/96"),
    ipaddress.ip_network("64:ff9b::/96"),
    ipaddress.ip_network("::/96"),
)
DEFAULT_PORTS = frozenset({80, 443})


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRules:
    """The operator's word on hosts. `hosts`: `docs.python.org`, `*.example.com`, `intranet:8080`; `*` is any.

    `private`: exact `host:port`, which may lie on this machine or in a private network.
    """

    hosts: tuple[str, ...]
    private: tuple[str, ...] = ()

    def allows(self, host: str, port: int) -> bool:
        """Whether this host may be talked to at this port. A pattern without a port is for 80 and 443."""
        return any(_fits(pattern, host, port) for pattern in self.hosts)

    def may_be_private(self, host: str, port: int) -> bool:
        """Whether the operator has named this very host and port as one of his own network."""
        return f"{host}:{port}" in {one.strip().lower() for one in self.private}

    def refusal(self, host: str, port: int, addresses: Sequence[str]) -> str | None:
        """Why none of a host's addresses may be talked to: one that may not be spoils them all."""
        may_be_private = self.may_be_private(host, port)
        for text in addresses:
            try:
                address = ipaddress.ip_address(text.partition("%")[0])
            except ValueError:
                return f"{text[:60]!r} is no address"
            if _is_among(address, _NEVER) or (not may_be_private and not is_public(address)):
                return f"{text} is not a public address"
        return None if addresses else "the name has no address"


def written_address(host: str) -> str | None:
    """The address that a host is written as, in any form that a resolver takes: `127.1`, `0x7f000001`, `017700000001`.

    None for a name: what it stands for is known when it is connected to, and not before.
    """
    text = host.rstrip(".").strip("[]")
    try:
        return str(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        pass
    try:
        # Python's own reading: short, octal and hexadecimal forms; it takes words after a blank too.
        return socket.inet_ntoa(socket.inet_aton(text)) if " " not in text else None
    except (OSError, UnicodeError):
        return "127.0.0.1" if text == "localhost" or text.endswith(".localhost") else None


def is_public(address: IpAddress) -> bool:
    """Whether the address is one of the public internet."""
    inner = _carried(address)
    if inner is not None:
        return is_public(inner)
    return address.is_global and not _is_among(address, (*_NEVER, *_PRIVATE))


def _is_among(
    address: IpAddress, networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
) -> bool:
    inner = _carried(address)
    if inner is not None and _is_among(inner, networks):
        return True
    return any(address in network for network in networks)


def _carried(address: IpAddress) -> ipaddress.IPv4Address | None:
    """The IPv4 address in an IPv6 one. `::1` and `::` are themselves."""
    if int(address) <= 1 or not any(address in network for network in _CARRIERS):
        return None
    return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)


def _fits(pattern: str, host: str, port: int) -> bool:
    name, colon, number = pattern.strip().lower().rpartition(":")
    if colon and number.isdecimal():
        return port == int(number) and fnmatchcase(host, name.strip("[]"))
    return port in DEFAULT_PORTS and fnmatchcase(host, pattern.strip().lower().strip("[]"))
