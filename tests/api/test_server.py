"""The server: ports, addresses, starting, stopping."""

import asyncio
import socket
from contextlib import closing

import httpx2
import pytest

from chargehand.errors import Conflict, InvalidInput
from chargehand.serve.server import bind, run_server, url_of
from tests.api.service import Service


async def test_port_0_takes_a_free_port_and_tells_its_url(service: Service) -> None:
    async with service.listening() as (url, _), service.real_client(None, url) as client:
        answer = await client.get("/health")

    assert url.startswith("http://127.0.0.1:")
    assert answer.json()["status"] == "healthy"
    assert "server" not in answer.headers


async def test_a_port_in_use_is_told_with_the_way_out(service: Service) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port: int = taken.getsockname()[1]

        with pytest.raises(Conflict, match=f"port {port} on 127.0.0.1 is in use .* choose another port"):
            await run_server(
                service.http,
                host="127.0.0.1",
                port=port,
                stopping=asyncio.Event(),
                grace_seconds=1,
                on_listening=print,
            )


@pytest.mark.parametrize("host", ["no.such.host.invalid", "not a host"])
def test_a_host_that_is_none_is_told(host: str) -> None:
    with pytest.raises(InvalidInput, match="no address of this machine"):
        bind(host, 0)


def test_the_loopback_of_ipv6_has_brackets_in_its_url() -> None:
    with closing(bind("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]

        assert url_of(listener, "127.0.0.1") == f"http://127.0.0.1:{port}"
        assert url_of(listener, "::1") == f"http://[::1]:{port}"
        assert url_of(listener, "0.0.0.0") == f"http://127.0.0.1:{port}"  # noqa: S104 - not bound


async def test_a_stopped_server_frees_its_port(service: Service) -> None:
    async with service.listening() as (url, _):
        port = int(url.rpartition(":")[2])

    with closing(bind("127.0.0.1", port)) as again:
        assert again.getsockname()[1] == port


async def test_a_stop_while_a_client_keeps_its_connection_open_takes_no_longer_than_the_grace(
    service: Service,
) -> None:
    async with (
        service.listening(grace_seconds=1) as (url, stopping),
        service.real_client(None, url) as client,
    ):
        await client.get("/health")
        async with asyncio.timeout(5):
            stopping.set()
            with pytest.raises(httpx2.TransportError):
                await _until_refused(url)


async def _until_refused(url: str) -> None:
    async with httpx2.AsyncClient(base_url=url) as fresh:
        while True:
            await fresh.get("/health")
