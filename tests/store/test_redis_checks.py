"""What is wrong with a Redis server, told in words: real servers, and those that are none."""

import asyncio
import shutil
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chargehand.store.redis_checks import eviction_problems, redis_problems, server_problems
from chargehand.store.redis_client import open_redis
from tests.listening import listening


@asynccontextmanager
async def a_redis(folder: Path, *options: str, password: str = "") -> AsyncGenerator[int, None]:
    """A server of this test's own, on a free port."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no program redis-server here")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder), *options]
    process = await asyncio.create_subprocess_exec(program, *arguments, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            while b"Ready to accept connections" not in await process.stdout.readline():
                pass
        yield port
    finally:
        process.terminate()
        await process.communicate()


async def test_a_usable_server_has_no_problem(redis_url: str) -> None:
    assert await redis_problems(redis_url, is_broker=True) == []


async def test_nothing_that_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

        [problem] = await redis_problems(f"redis://:secret@127.0.0.1:{port}/0")

    assert f"CHARGEHAND_REDIS_URL (redis://127.0.0.1:{port}/0)" in problem
    assert "no Redis server can be reached" in problem
    assert "secret" not in problem


async def test_a_server_of_http() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with listening(answer) as port:
        [problem] = await redis_problems(f"redis://127.0.0.1:{port}/0", setting="CHARGEHAND_BROKER_URL")

    assert "CHARGEHAND_BROKER_URL" in problem
    assert "no Redis server" in problem
    assert "look at the port" in problem


async def test_passwords_that_are_missing_or_wrong(tmp_path: Path) -> None:
    async with a_redis(tmp_path, "--requirepass", "right") as port:
        [missing] = await redis_problems(f"redis://127.0.0.1:{port}/0")
        [wrong] = await redis_problems(f"redis://:wrong@127.0.0.1:{port}/0")
        right = await redis_problems(f"redis://:right@127.0.0.1:{port}/0")

    assert "password" in missing
    assert "password" in wrong
    assert "wrong@" not in wrong
    assert right == []


async def test_a_replica_names_its_primary(tmp_path: Path, redis_url: str) -> None:
    del redis_url
    async with a_redis(tmp_path, "--replicaof", "127.0.0.1", "1") as port:
        problems = await redis_problems(f"redis://127.0.0.1:{port}/0")

    assert any("replica" in one and "127.0.0.1:1" in one for one in problems)


async def test_a_broker_that_evicts_and_a_cache_that_may(tmp_path: Path) -> None:
    async with a_redis(tmp_path, "--maxmemory-policy", "allkeys-lru") as port:
        as_cache = await redis_problems(f"redis://127.0.0.1:{port}/0")
        [as_broker] = await redis_problems(f"redis://127.0.0.1:{port}/0", is_broker=True)

    assert as_cache == []
    assert "maxmemory-policy is allkeys-lru" in as_broker
    assert "noeviction" in as_broker


async def test_a_database_that_the_server_does_not_have(tmp_path: Path) -> None:
    async with a_redis(tmp_path, "--databases", "2") as port:
        [problem] = await redis_problems(f"redis://127.0.0.1:{port}/9")

    assert "no database of this number" in problem


@pytest.mark.parametrize("url", ["", "localhost:6379", "http://127.0.0.1:6379", "amqp://127.0.0.1"])
async def test_an_address_that_is_none(url: str) -> None:
    [problem] = await redis_problems(url)

    assert "redis://127.0.0.1:6379/0" in problem


@pytest.mark.parametrize(
    ("info", "said"),
    [
        ({"redis_version": "4.0.14"}, "5.0 or newer"),
        ({"redis_version": "odd"}, "5.0 or newer"),
        ({"redis_version": "7.0.1", "loading": 1}, "still loading"),
    ],
)
def test_what_a_servers_own_report_says(info: dict[str, object], said: str) -> None:
    [problem] = server_problems("X", info)

    assert said in problem
    assert eviction_problems("X", info) == []


async def test_a_client_that_nobody_uses_connects_to_nothing() -> None:
    client = open_redis("redis://127.0.0.1:1/0")
    await client.aclose()
