"""Socket addresses as the kernel lays them out, and who listens on a port of this machine."""

import os

UNIX, INET, INET6 = 1, 2, 10

_ANY4, _LOOPBACK4 = bytes(4), bytes((127, 0, 0, 1))
_ANY6, _LOOPBACK6 = bytes(16), bytes(15) + b"\1"
_MAPPED4 = bytes(10) + b"\xff\xff"
_LISTENING = "0A"


def family_of(address: bytes) -> int:
    return int.from_bytes(address[:2], "little") if len(address) >= 2 else 0


def port_of(address: bytes) -> int:
    return int.from_bytes(address[2:4], "big")


def is_loopback(address: bytes) -> bool:
    """Whether a connection to it stays on this machine's loopback; `any` stands for it when connecting."""
    host = _host(address)
    if host.startswith(_MAPPED4):
        host = host[12:]
    if len(host) == 4:
        return host[0] == 127 or host == _ANY4
    return host in {_LOOPBACK6, _ANY6}


def on_loopback(address: bytes) -> bytes | None:
    """The address to bind instead: `any` becomes loopback, an address of another interface becomes None."""
    if not is_loopback(address):
        return None
    host = _host(address)
    if host == _ANY4:
        return address[:4] + _LOOPBACK4 + address[8:]
    if host == _ANY6:
        return address[:8] + _LOOPBACK6 + address[24:]
    if host == _MAPPED4 + _ANY4:
        return address[:8] + _MAPPED4 + _LOOPBACK4 + address[24:]
    return address


def listeners_on(port: int) -> set[int]:
    """Inodes of all sockets of this machine that listen on the port, whatever their address."""
    return _listeners("/proc/self/net/tcp", port) | _listeners("/proc/self/net/tcp6", port)


def _host(address: bytes) -> bytes:
    return address[4:8] if family_of(address) == INET else address[8:24]


def _listeners(path: str, port: int) -> set[int]:
    found: set[int] = set()
    if not os.path.exists(path):  # noqa: PTH110 - pathlib costs the runner 5 ms
        return found
    with open(path, encoding="ascii") as rows:  # noqa: PTH123 - as above
        next(rows, None)
        for row in rows:
            fields = row.split()
            if fields[3] != _LISTENING:
                break  # the kernel lists those that listen first
            if int(fields[1].rsplit(":", 1)[1], 16) == port:
                found.add(int(fields[9]))
    return found
