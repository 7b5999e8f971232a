"""Which addresses stay on the machine, by their bytes."""

import ipaddress
import os
import socket

import pytest

from chargehand.tools.sandbox.runner.addresses import (
    family_of,
    is_loopback,
    listeners_on,
    on_loopback,
    port_of,
)


def v4(host: str, port: int = 80) -> bytes:
    return (2).to_bytes(2, "little") + port.to_bytes(2, "big") + ipaddress.IPv4Address(host).packed + bytes(8)


def v6(host: str, port: int = 80) -> bytes:
    head = (10).to_bytes(2, "little") + port.to_bytes(2, "big") + bytes(4)
    return head + ipaddress.IPv6Address(host).packed + bytes(4)


ANY = str(ipaddress.IPv4Address(0))
INSIDE = [v4("127.0.0.1"), v4("127.8.9.10"), v4(ANY), v6("::1"), v6("::"), v6("::ffff:127.0.0.1")]
OUTSIDE = [
    *(v4("128.0.0.1"), v4("10.0.0.1"), v4("169.254.169.254"), v4("0.0.0.1"), v4("255.255.255.255")),
    *(v6("::2"), v6("fe80::1"), v6("2001:db8::1"), v6("::ffff:10.0.0.1"), v6("::127.0.0.1")),
    *(b"", b"\2", v4("127.0.0.1")[:7], v6("::1")[:20]),
]


@pytest.mark.parametrize("address", INSIDE)
def test_loopback_and_any_stay_on_the_machine(address: bytes) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize("address", OUTSIDE)
def test_everything_else_leaves_it(address: bytes) -> None:
    assert not is_loopback(address)
    assert on_loopback(address) is None


@pytest.mark.parametrize(
    ("asked", "bound"),
    [
        (v4(ANY, 9), v4("127.0.0.1", 9)),
        (v6("::", 9), v6("::1", 9)),
        (v6("::ffff:0.0.0.0", 9), v6("::ffff:127.0.0.1", 9)),
        (v4("127.0.0.2", 9), v4("127.0.0.2", 9)),
    ],
)
def test_all_interfaces_become_loopback(asked: bytes, bound: bytes) -> None:
    assert on_loopback(asked) == bound


def test_family_and_port_are_read() -> None:
    assert (family_of(v4("127.0.0.1", 8080)), port_of(v4("127.0.0.1", 8080))) == (2, 8080)
    assert (family_of(v6("::1", 443)), port_of(v6("::1", 443))) == (10, 443)


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_who_listens_on_a_port_is_found_and_who_is_only_bound_is_not(family: int, host: str) -> None:
    with socket.socket(family) as listening, socket.socket(family) as bound:
        listening.bind((host, 0))
        listening.listen()
        bound.bind((host, 0))

        assert listeners_on(listening.getsockname()[1]) == {os.fstat(listening.fileno()).st_ino}
        assert listeners_on(bound.getsockname()[1]) == set()
