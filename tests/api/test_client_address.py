"""Where a request comes from: the peer, or as far to the left of X-Forwarded-For as proxies are trusted."""

from typing import Any

import pytest

from chargehand.errors import InvalidInput
from chargehand.serve.client_address import ClientAddress, address_of, limited_as, trusted_networks

PROXIES = ("10.0.0.5", "10.1.0.0/16", "2001:db8:ffff::/48")


async def seen(peer: str | None, *forwarded: str, proxies: tuple[str, ...] = PROXIES) -> str:
    """The address that a request's routes see."""
    found: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.append(address_of(scope))

    headers = [(b"x-forwarded-for", value.encode("latin-1")) for value in forwarded]
    scope = {"type": "http", "headers": headers, "client": None if peer is None else (peer, 4711)}
    await ClientAddress(app, proxies)(scope, None, None)  # pyright: ignore[reportArgumentType] - nothing is sent
    return found[0]


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("198.51.100.7", [], "198.51.100.7"),
        ("198.51.100.7", ["203.0.113.9"], "198.51.100.7"),
        ("10.0.0.5", [], "10.0.0.5"),
        ("10.0.0.5", ["203.0.113.9"], "203.0.113.9"),
        ("::ffff:10.0.0.5", ["203.0.113.9"], "203.0.113.9"),
        ("10.0.0.5", ["1.1.1.1, 203.0.113.9"], "203.0.113.9"),
        ("10.0.0.5", ["1.1.1.1", "203.0.113.9"], "203.0.113.9"),
        ("10.0.0.5", ["1.1.1.1, 203.0.113.9, 10.1.2.3"], "203.0.113.9"),
        ("10.0.0.5", ["203.0.113.9:52100"], "203.0.113.9"),
        ("10.0.0.5", ["[2001:db8::1]:52100"], "2001:db8::1"),
        ("2001:db8:ffff::1", ["2001:0DB8:0:0::1"], "2001:db8::1"),
        ("10.0.0.5", ["10.1.0.1, 10.1.0.2"], "10.1.0.1"),
        ("10.0.0.5", ["unknown"], "10.0.0.5"),
        ("10.0.0.5", ["203.0.113.9, , "], "10.0.0.5"),
        ("10.0.0.5", ["203.0.113.9, \u00e9"], "10.0.0.5"),
        ("10.0.0.5", ["203.0.113.9, 127.1"], "10.0.0.5"),
        ("10.0.0.5", ["203.0.113.9" + ", 10.1.0.1" * 10_000], "10.1.0.1"),
        (None, ["203.0.113.9"], "unknown"),
    ],
)
async def test_the_client_is_the_first_hop_from_the_right_that_is_no_trusted_proxy(
    peer: str | None, forwarded: list[str], expected: str
) -> None:
    assert await seen(peer, *forwarded) == expected


async def test_without_trusted_proxies_nobody_is_believed() -> None:
    assert await seen("127.0.0.1", "203.0.113.9", proxies=()) == "127.0.0.1"


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"),
    ],
)
def test_an_address_of_ipv6_is_counted_with_its_network(address: str, counted: str) -> None:
    assert limited_as(address) == counted


@pytest.mark.parametrize(
    "proxy", ["0.0.0.0/0", "::/0", "10.0.0.0/7", "proxy.example", "10.0.0.5/8", "", "10.0.0.300"]
)
def test_what_is_no_proxy_or_trusts_everyone_is_refused_with_the_settings_name(proxy: str) -> None:
    with pytest.raises(InvalidInput, match="CHARGEHAND_TRUSTED_PROXIES"):
        trusted_networks([proxy])
