"""Addresses whose password holds signs that an address is made of: refused, and no message holds a part of it."""

import traceback
from collections.abc import Callable

import pytest

from chargehand.errors import InvalidInput
from chargehand.store.address import shown, split_address
from chargehand.store.redis_bus import RedisExchange
from chargehand.store.redis_checks import redis_problems
from chargehand.store.redis_client import open_redis
from chargehand.store.server_url import server_url, shown_url

REDIS = "CHARGEHAND_REDIS_URL"
DATABASE = "CHARGEHAND_DATABASE_URL"
SIGNS = [
    "sec/ret",
    "sec?ret",
    "sec#ret",
    "123/s3cret",
    "123#s3cret",
    "se/c@ret",
    "se[cret",
    "se]cret",
    "s\u2100cret",
]


def refusal(take: Callable[[], object]) -> str:
    """What is said, once nothing of it, nor of its traceback, is found to be of the password."""
    with pytest.raises(InvalidInput) as refused:
        take()
    told = refused.value.message + "".join(traceback.format_exception_only(refused.value))
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__ or refused.value.__context__ is None
    for part in ("sec", "cret", "ret", "123", "w0rd", "ss@"):
        assert part not in told, told
    return refused.value.message


@pytest.mark.parametrize("password", SIGNS)
@pytest.mark.parametrize("take", [open_redis, RedisExchange])
def test_an_address_of_redis_with_a_password_that_breaks_it(
    password: str, take: Callable[[str], object]
) -> None:
    said = refusal(lambda: take(f"redis://me:{password}@127.0.0.1:6379/0"))

    assert REDIS in said
    assert "%2F" in said


async def test_the_checks_of_redis_tell_the_same() -> None:
    [problem] = await redis_problems("redis://:123/s3cret@127.0.0.1:6379/0")

    assert REDIS in problem
    assert "s3cret" not in problem
    assert "123" not in problem


@pytest.mark.parametrize("password", ["p%40ss%2Fw0rd", "p@ssw0rd", "p:ssw0rd"])
def test_an_address_with_a_password_that_breaks_nothing(password: str) -> None:
    url = f"redis://me:{password}@127.0.0.1:6379/0"

    assert split_address(url, REDIS).hostname == "127.0.0.1"
    assert shown(url) == "redis://127.0.0.1:6379/0"


@pytest.mark.parametrize(
    "password", ["p@ss", "p@ss:w0rd", "p@ss:w0rd@x", "p@ss/w0rd", "p@ss?w0rd", "p@w0rd/ss", "p@123/w0rd"]
)
@pytest.mark.parametrize("scheme", ["postgresql", "mysql", "oracle"])
def test_an_address_of_a_database_with_an_unescaped_at_sign_in_its_password(
    scheme: str, password: str
) -> None:
    said = refusal(lambda: server_url(f"{scheme}://me:{password}@db.example/x"))

    assert DATABASE in said
    assert "@ in a password as %40" in said


@pytest.mark.parametrize("address", ["me:p%40ss@db:5432/x", "me@corp:p%40ss@db:5432/x", "me:p:ss@db:5432/x"])
def test_an_address_of_a_database_that_can_be_read(address: str) -> None:
    url = server_url(f"postgresql://{address}")

    assert (url.host, url.port, url.database) == ("db", 5432, "x")
    assert "ss" not in shown_url(url)
