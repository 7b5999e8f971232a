"""Tests talk to this machine only.

Rule: a connection to, or a socket bound on, anything but the loopback fails the test that opened it. Sockets
of child processes are not seen here; those belong to the sandbox tests.
"""

import ipaddress


def refuse_other_than_loopback(event: str, address: object) -> None:
    """Raise unless the address is on the loopback, or is no host and port (a Unix socket)."""
    if (
        isinstance(address, tuple)
        and address
        and isinstance(address[0], str)
        and not _is_loopback(address[0])
    ):
        raise PermissionError(f"{event} {address!r}: a test may use 127.0.0.1, ::1 and localhost only")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
