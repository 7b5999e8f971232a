"""Which addresses are dialled, range by range: each that a cloud, a tunnel or this machine answers at is refused."""

import ipaddress

import pytest

from chargehand.errors import AddressRefused, ToolError
from chargehand.network.addresses import HostRules, is_public, written_address
from chargehand.network.guarded_http import MAX_URL_CHARACTERS, GuardedHttp

NEVER = (
    *("0.0.0.0", "0.255.255.255", "169.254.0.0", "169.254.169.254", "169.254.255.255"),  # noqa: S104 - refused here
    *(
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "168.63.129.16",
        "192.0.0.0",
        "192.0.0.192",
    ),
    *("192.0.0.255", "100.100.100.200", "::", "fe80::1", "febf::1", "ff02::1", "ff0e::1", "fd00:ec2::254"),
    *(
        "2002::1",
        "2002:7f00:1::",
        "2001::1",
        "2001:0:ffff::1",
        "64:ff9b:1::1",
        "::ffff:0:0:0",
        "::ffff:0:127.0.0.1",
    ),
)
"""Even where private addresses are allowed."""
PRIVATE = (
    *(
        "127.0.0.1",
        "127.255.255.254",
        "10.0.0.1",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "::1",
        "fd12::1",
        "fc00::1",
    ),
    *("100.64.0.0", "100.127.255.255", "192.88.99.1", "198.18.0.1", "198.19.255.255", "fec0::1", "feff::1"),
    *("192.0.2.1", "203.0.113.1", "2001:db8::1"),
)
"""Refused, but for a host and port that the operator names."""
PUBLIC = (
    *(
        "1.1.1.1",
        "8.8.8.8",
        "100.63.255.255",
        "100.128.0.0",
        "168.63.129.15",
        "168.63.129.17",
        "172.32.0.1",
        "192.0.1.1",
    ),
    *(
        "198.17.255.255",
        "198.20.0.0",
        "192.88.98.1",
        "169.253.1.1",
        "223.255.255.255",
        "2606:4700::1111",
        "2a00:1450::1",
    ),
)
RULES = HostRules(hosts=("site.test:8080",), private=(" Site.test:8080 ",))
STRICT = HostRules(hosts=("site.test:8080",))


def carried(address: str) -> list[str]:
    """As IPv6 carries it: mapped, translated, and the deprecated way (but for what would be `::` and `::1`)."""
    number = int(ipaddress.IPv4Address(address))
    forms = [
        f"::ffff:{address}",
        str(ipaddress.IPv6Address(int(ipaddress.IPv6Address("64:ff9b::")) + number)),
    ]
    return [*forms, str(ipaddress.IPv6Address(number))] if number > 1 else forms


def every_form(addresses: tuple[str, ...]) -> list[str]:
    return [
        one
        for address in addresses
        for one in (address, *(carried(address) if "." in address and ":" not in address else ()))
    ]


@pytest.mark.parametrize("address", every_form(NEVER))
def test_what_nobody_means_is_refused_even_where_private_is_allowed(address: str) -> None:
    assert RULES.refusal("site.test", 8080, [address]) is not None
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", every_form(PRIVATE))
def test_a_private_address_is_dialled_only_for_a_host_and_port_that_say_so(address: str) -> None:
    assert STRICT.refusal("site.test", 8080, [address]) is not None
    assert RULES.refusal("site.test", 8080, [address]) is None
    assert RULES.refusal("site.test", 8081, [address]) is not None
    assert RULES.refusal("other.test", 8080, [address]) is not None


@pytest.mark.parametrize("address", every_form(PUBLIC))
def test_a_public_address_is_dialled(address: str) -> None:
    assert STRICT.refusal("site.test", 8080, [address]) is None
    assert is_public(ipaddress.ip_address(address))


def test_one_address_that_may_not_be_dialled_spoils_them_all() -> None:
    assert STRICT.refusal("site.test", 8080, ["1.1.1.1", "127.0.0.1"]) == "127.0.0.1 is not a public address"
    assert STRICT.refusal("site.test", 8080, ["127.0.0.1", "1.1.1.1"]) is not None
    assert STRICT.refusal("site.test", 8080, ["1.1.1.1", "8.8.8.8"]) is None


@pytest.mark.parametrize(
    "address", ["", "nonsense", "1.1.1", "0x7f000001", "::1%eth0", "fe80::1%1", "1.1.1.1.1"]
)
def test_what_is_no_plain_address_is_refused(address: str) -> None:
    assert STRICT.refusal("site.test", 8080, [address]) is not None


def test_a_name_without_an_address_is_refused() -> None:
    assert STRICT.refusal("site.test", 8080, []) == "the name has no address"


@pytest.mark.parametrize(
    ("pattern", "host", "port", "allowed"),
    [
        ("docs.python.org", "docs.python.org", 443, True),
        ("docs.python.org", "docs.python.org", 80, True),
        ("docs.python.org", "docs.python.org", 8443, False),
        ("docs.python.org", "evil-docs.python.org", 443, False),
        ("docs.python.org", "docs.python.org.evil.example", 443, False),
        ("*.example.com", "a.example.com", 443, True),
        ("*.example.com", "a.example.com", 22, False),
        ("*.example.com", "example.com", 443, False),
        ("*.example.com", "example.com.evil", 443, False),
        ("intranet:8080", "intranet", 8080, True),
        ("intranet:8080", "intranet", 80, False),
        ("intranet:8080", "other", 8080, False),
        (" Intranet:8080 ", "intranet", 8080, True),
        ("[::1]:8080", "::1", 8080, True),
        ("[::1]:8080", "::1", 443, False),
        ("*", "anything", 443, True),
        ("*", "anything", 22, False),
        ("a:b", "a:b", 443, True),
        ("8080", "8080", 443, True),
    ],
)
def test_a_pattern_allows_its_hosts_at_its_ports(pattern: str, host: str, port: int, allowed: bool) -> None:
    assert HostRules(hosts=("nobody.test", pattern)).allows(host, port) is allowed
    assert not HostRules(hosts=()).allows(host, port)


@pytest.mark.parametrize(
    ("host", "address"),
    [
        *(
            (host, "127.0.0.1")
            for host in ("127.1", "0x7f000001", "017700000001", "2130706433", "127.0.0.1.")
        ),
        *((host, "127.0.0.1") for host in ("localhost", "localhost.", "a.localhost")),
        *(("[::1]", "::1"), ("fe80::1%eth0", "fe80::1"), ("1.1.1.1", "1.1.1.1")),
        *(
            (host, None)
            for host in ("", "example.com", "notlocalhost", "localhost.example.com", "127.0.0.1 x")
        ),
    ],
)
def test_an_address_is_known_however_it_is_written(host: str, address: str | None) -> None:
    assert written_address(host) == address


ANYWHERE = GuardedHttp(rules=HostRules(hosts=("*",)))
LONGEST = "http://example.com/".ljust(MAX_URL_CHARACTERS, "x")


@pytest.mark.parametrize(
    ("url", "told"),
    [
        *((f"http://example.com/{part}", "is no plain URL") for part in ("\u00e9", "\x01", "a b", "a\\b")),
        (LONGEST + "x", "is no plain URL"),
        *((f"http://{host}/", "is no URL: its host") for host in ("", "exa$mple.com", "*", ":80")),
    ],
)
def test_a_url_that_others_might_read_otherwise_is_refused(url: str, told: str) -> None:
    with pytest.raises(ToolError, match=told):
        ANYWHERE.checked(url)


def test_the_longest_url_and_an_address_in_brackets_are_taken() -> None:
    assert ANYWHERE.checked(LONGEST).hostname == "example.com"
    assert ANYWHERE.checked("http://[2606:4700::1111]/").hostname == "2606:4700::1111"


def test_an_address_that_is_written_is_judged_before_anything_is_dialled() -> None:
    for host in ("127.1", "[::1]", "localhost", "[::ffff:10.0.0.1]"):
        with pytest.raises(AddressRefused, match="is not talked to"):
            ANYWHERE.checked(f"http://{host}/")


def test_where_https_is_needed_only_the_operators_own_hosts_go_without() -> None:
    strict = GuardedHttp(rules=HostRules(hosts=("*",), private=("intranet:80",)), needs_https=True)

    assert strict.checked("https://example.com/").scheme == "https"
    assert strict.checked("http://intranet/").scheme == "http"
    with pytest.raises(ToolError, match="only https"):
        strict.checked("http://example.com/")
