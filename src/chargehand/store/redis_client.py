"""A client of the Redis server that a setting names, and what its failures are called."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from chargehand.errors import InvalidInput, Unavailable
from chargehand.store.address import split_address

if TYPE_CHECKING:
    from redis.asyncio import Redis

SETTING = "CHARGEHAND_REDIS_URL"
EXAMPLE = "redis://127.0.0.1:6379/0"
SCHEMES = ("redis", "rediss", "unix")
CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 5.0


def open_redis(url: str, *, setting: str = SETTING, answer_seconds: float = ANSWER_SECONDS) -> "Redis":
    """A client that connects when first used and repeats nothing by itself. InvalidInput, Unavailable."""
    check_redis_url(url, setting)
    try:
        from redis.asyncio import Redis  # noqa: PLC0415 - an extra
        from redis.asyncio.retry import Retry  # noqa: PLC0415 - as above
        from redis.backoff import NoBackoff  # noqa: PLC0415 - as above
    except ImportError as error:
        raise Unavailable(
            f"{setting} needs the package redis; install it with: pip install 'chargehand[redis]'"
        ) from error
    try:
        return cast("Any", Redis).from_url(
            url,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=answer_seconds,
            retry=Retry(NoBackoff(), 0),
            client_name="chargehand",
        )
    except ValueError:
        # Its text is not told: it quotes the address.
        raise InvalidInput(f"{setting} cannot be read; it looks like {EXAMPLE}") from None


def check_redis_url(url: str, setting: str = SETTING) -> None:
    """InvalidInput for what is no address of a Redis server. The message shows no password."""
    if split_address(url, setting).scheme not in SCHEMES:
        raise InvalidInput(f"{setting} is no address of a Redis server; it looks like {EXAMPLE}")


def database_number(url: str) -> str:
    """Which database of the server the address names; it also keeps the channels of two installations apart."""
    path = urlsplit(url).path.strip("/")
    return path if path.isdigit() else "0"


@contextmanager
def redis_failures(becomes: type[Exception]) -> Generator[None, None, None]:
    """Whatever a client raises when its server is gone, slow or no Redis, as one error."""
    from redis.exceptions import RedisError  # noqa: PLC0415 - an extra

    try:
        yield
    except (RedisError, OSError, EOFError, UnicodeDecodeError) as error:
        raise becomes(str(error) or type(error).__name__) from error
