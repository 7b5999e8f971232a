"""What is wrong with a Redis server, in words that name the setting; nothing is changed there.

For the start and for `chargehand doctor`. A server that is away stops no start: all that it does can be done without.
"""

from collections.abc import Mapping
from typing import Any, cast

from chargehand.errors import ChargehandError
from chargehand.store.address import shown
from chargehand.store.redis_client import SETTING, open_redis

NEVER_EVICTS = "noeviction"
OLDEST_MAJOR = 5


async def redis_problems(url: str, *, setting: str = SETTING, is_broker: bool = False) -> list[str]:
    """What stands in the way of using it; nothing: it will do. `is_broker`: Celery's messages lie there."""
    try:
        client = open_redis(url, setting=setting)
    except ChargehandError as error:
        return [error.message]
    try:
        return await _look(cast("Any", client), f"{setting} ({shown(url)})", is_broker=is_broker)
    finally:
        await client.aclose()


async def _look(client: Any, where: str, *, is_broker: bool) -> list[str]:
    # An extra, which `open_redis` has found.
    from redis.exceptions import (  # noqa: PLC0415 - needs the extra `redis`
        AuthenticationError,
        NoPermissionError,
        RedisError,
        ResponseError,
    )

    try:
        answer = await client.info()
    except (AuthenticationError, NoPermissionError) as error:
        return [f"{where}: the server refuses the name or password of this address: {error}"]
    except (ResponseError, OSError, EOFError, UnicodeDecodeError, RedisError) as error:
        return [_unreachable(where, error)]
    problems = server_problems(where, answer)
    if is_broker:
        problems += eviction_problems(where, answer)
    return problems


def _unreachable(where: str, error: Exception) -> str:
    told = str(error) or type(error).__name__
    if "NOAUTH" in told or "WRONGPASS" in told or "Authentication" in told:
        return f"{where}: the server wants a password: write redis://:PASSWORD@host:port/0"
    if "out of range" in told:
        return f"{where}: the server has no database of this number: {told}"
    # What redis-py says of an answer that does not begin as Redis's do, such as `HTTP/1.1 400`.
    if "Protocol Error" in told or "Invalid" in told or isinstance(error, UnicodeDecodeError):
        return f"{where}: what answers there is no Redis server; look at the port ({told[:80]})"
    if "closed by server" in told:
        return f"{where}: what answers there is no Redis server, or one that wants TLS (rediss://); look at the port"
    return f"{where}: no Redis server can be reached there: {told}; start it, or correct the address"


def server_problems(where: str, info: Mapping[str, Any]) -> list[str]:
    """What its own report says that makes it useless for signals and rates."""
    problems: list[str] = []
    version = str(info.get("redis_version", "0"))
    if not version.split(".")[0].isdigit() or int(version.split(".")[0]) < OLDEST_MAJOR:
        problems.append(f"{where}: this is Redis {version}; {OLDEST_MAJOR}.0 or newer is needed")
    if info.get("role") == "slave" or info.get("role") == "replica":
        problems.append(
            f"{where}: this is a replica, which takes no writes; give the address of its primary"
            f" ({info.get('master_host', 'unknown')}:{info.get('master_port', '?')})"
        )
    if info.get("loading"):
        problems.append(f"{where}: the server is still loading its data; wait until it is done")
    return problems


def eviction_problems(where: str, info: Mapping[str, Any]) -> list[str]:
    """Whether it may throw away messages of a broker when its memory is full."""
    policy = str(info.get("maxmemory_policy", NEVER_EVICTS))
    if policy == NEVER_EVICTS:
        return []
    return [
        f"{where}: maxmemory-policy is {policy}, so the server throws messages away when its memory is full;"
        f" set `maxmemory-policy {NEVER_EVICTS}` there"
    ]
