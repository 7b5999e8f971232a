"""The chaos proxy is a bad network exactly when it is told to be one."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from chaos.proxy import ChaosProxy
from tests.listening import listening

LIMIT_SECONDS = 10.0
SILENCE_SECONDS = 0.2
"""How long nothing must come where nothing may come."""


@asynccontextmanager
async def an_echo() -> AsyncGenerator[ChaosProxy, None]:
    """A proxy before a server that sends back what it gets."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1000):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async with listening(echo) as port:
        proxy = ChaosProxy("echo", port)
        await proxy.start()
        try:
            async with asyncio.timeout(LIMIT_SECONDS):
                yield proxy
        finally:
            await proxy.stop()


class Client:
    """A connection through the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def said(self, text: bytes) -> bytes:
        """What comes back."""
        self.writer.write(text)
        return await self.reader.readexactly(len(text))

    async def hears_nothing(self, text: bytes) -> bool:
        self.writer.write(text)
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                await self.reader.read(1)
        except TimeoutError:
            return True
        return False


@asynccontextmanager
async def a_client(proxy: ChaosProxy) -> AsyncGenerator[Client, None]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


async def test_bytes_pass_unchanged_both_ways() -> None:
    async with an_echo() as proxy, a_client(proxy) as client:
        data = bytes(range(256)) * 1000

        client.writer.write(data)

        assert await client.reader.readexactly(len(data)) == data


async def test_the_end_of_one_side_is_told_to_the_other() -> None:
    async with an_echo() as proxy, a_client(proxy) as client:
        assert await client.said(b"one") == b"one"

        client.writer.write_eof()

        assert await client.reader.read() == b""


async def test_a_cut_resets_open_connections_and_lets_new_ones_pass() -> None:
    async with an_echo() as proxy, a_client(proxy) as before:
        assert await before.said(b"one") == b"one"

        proxy.cut()

        with pytest.raises(ConnectionResetError):
            await before.reader.read(1)
        async with a_client(proxy) as after:
            assert await after.said(b"two") == b"two"


async def test_one_that_refuses_resets_new_connections_until_it_is_healed() -> None:
    async with an_echo() as proxy:
        proxy.refuse()

        async with a_client(proxy) as refused:
            with pytest.raises(ConnectionResetError):
                await refused.said(b"one")
        proxy.heal()
        async with a_client(proxy) as after:
            assert await after.said(b"two") == b"two"


async def test_a_stall_holds_bytes_back_and_loses_none() -> None:
    async with an_echo() as proxy, a_client(proxy) as client:
        assert await client.said(b"one") == b"one"
        proxy.stall()

        assert await client.hears_nothing(b"two")
        proxy.heal()

        assert await client.reader.readexactly(3) == b"two"


async def test_a_delay_holds_each_piece_back_for_its_time() -> None:
    async with an_echo() as proxy, a_client(proxy) as client:
        proxy.slow_down(0.1)
        started = asyncio.get_running_loop().time()

        assert await client.said(b"slow") == b"slow"

        assert asyncio.get_running_loop().time() - started >= 0.2


async def test_a_forgotten_connection_is_half_open_until_the_network_heals() -> None:
    async with an_echo() as proxy, a_client(proxy) as client:
        assert await client.said(b"one") == b"one"
        proxy.forget()

        assert await client.hears_nothing(b"two")
        async with a_client(proxy) as fresh:
            assert await fresh.said(b"new") == b"new"
        proxy.heal()

        with pytest.raises(ConnectionResetError):
            await client.reader.read(1)


async def test_a_server_that_is_gone_shows_as_a_reset() -> None:
    async with an_echo() as proxy:
        nobody = ChaosProxy("nobody", target_port=1)
        await nobody.start()
        try:
            async with a_client(nobody) as client:
                with pytest.raises(ConnectionResetError):
                    await client.said(b"one")
        finally:
            await nobody.stop()
        assert proxy.open_links == 0
