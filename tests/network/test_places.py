"""Which addresses share the places of one host."""

from urllib.parse import urlsplit

import pytest

from chargehand.network.places import host_of


@pytest.mark.parametrize(
    "url",
    [
        "https://h.example", "https://H.Example/x?y#z", "https://h.example:/", "https://h.example:443/",
        "https://h.example:0443/", "https://h.example:00443/", "https://h.example./", "https://h.example.:443/",
        "http://h.example:443/",
    ],
)  # fmt: skip
def test_a_host_is_one_however_its_name_and_port_are_written(url: str) -> None:
    assert host_of(urlsplit(url)) == "h.example:443"


@pytest.mark.parametrize(
    "host", ["8.8.8.8", "8.8.8.8.", "8.8.2056", "0x08080808", "010.8.8.8", "8.8.8.8:0443"]
)
def test_an_address_is_one_host_however_it_is_written(host: str) -> None:
    assert host_of(urlsplit(f"https://{host}/")) == "8.8.8.8:443"


def test_an_address_of_the_other_kind_too() -> None:
    written = ("[2606:4700::1111]", "[2606:4700:0:0::1111]:443", "[2606:4700::0.0.17.17]")

    assert {host_of(urlsplit(f"https://{one}/")) for one in written} == {"2606:4700::1111:443"}


def test_other_ports_and_other_names_are_other_hosts() -> None:
    urls = (
        "https://h.example",
        "http://h.example",
        "https://h.example:8443",
        "https://i.h.example",
        "https://h",
    )

    assert len({host_of(urlsplit(url)) for url in urls}) == len(urls)
