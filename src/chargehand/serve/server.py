"""Runs the application on a socket until it is told to stop.

Rule: signals are the caller's. Streams and waiting requests are ended first, so that a stop never hangs on a
client that keeps its connection open.
"""

import asyncio
import errno
import math
import socket
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Literal

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from chargehand.errors import Conflict, InvalidInput, Unavailable
from chargehand.serve.secure_headers import SecureHeaders
from chargehand.serve.stopping import Stopping

KEEP_ALIVE_SECONDS = 15
BACKLOG = 2048
SHARE_OF_FILES = 0.8
"""How much of the files that the system lets a process open may be connections."""
WILDCARDS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - names what is shown instead of it


async def run_server(
    app: FastAPI,
    *,
    host: str,
    port: int,
    stopping: asyncio.Event,
    grace_seconds: float,
    on_listening: Callable[[str], None],
) -> None:
    """Serve until `stopping` is set. Conflict when the port is in use; port 0 takes a free one.

    `on_listening` gets the URL when the first request can be answered. What is still being answered after
    `grace_seconds` is cut off.
    """
    listener = bind(host, port)
    with listener:
        protocol = _http_protocol(app.state.secure_headers, app.state.max_connections)
        config = config_for(app, http=protocol, grace_seconds=grace_seconds)
        streams: Stopping = app.state.stopping
        await run_on(listener, config, stopping, lambda: on_listening(url_of(listener, host)), streams.set)


def config_for(
    app: ASGIApp, *, http: type[asyncio.Protocol] | Literal["auto", "h11"] = "auto", grace_seconds: float = 1
) -> uvicorn.Config:
    """What each server of ours has: no logs, headers or lifespan of uvicorn's own, and no proxy that it believes."""
    return uvicorn.Config(
        app,
        http=http,
        ws="none",
        log_config=None,
        access_log=False,
        lifespan="off",
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, math.ceil(grace_seconds)),
    )


async def run_on(
    listener: socket.socket,
    config: uvicorn.Config,
    stopping: asyncio.Event,
    on_listening: Callable[[], object],
    on_stopping: Callable[[], object],
) -> None:
    """Serve on a socket until `stopping` is set, or the server ends by itself; `on_stopping` ends what would hang."""
    server = _Server(config)
    server.on_started = on_listening
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    asked = asyncio.ensure_future(stopping.wait())
    try:
        await asyncio.wait((serving, asked), return_when=asyncio.FIRST_COMPLETED)
    finally:
        asked.cancel()
        on_stopping()
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers, which tells when it listens."""

    on_started: Callable[[], object]

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.on_started()


def _http_protocol(headers: SecureHeaders, max_connections: int) -> type[asyncio.Protocol] | Literal["h11"]:
    try:
        from chargehand.serve.protocol import protocol_with  # noqa: PLC0415 - needs httptools
    except ImportError:
        return "h11"
    return protocol_with(headers, connections_at_most(max_connections))


def connections_at_most(wanted: int) -> int:
    """As many as wanted, but so that files and databases can still be opened beside them."""
    if sys.platform == "win32":
        return wanted
    import resource  # noqa: PLC0415 - is not there on Windows

    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if files == resource.RLIM_INFINITY else min(wanted, max(1, int(files * SHARE_OF_FILES)))


def bind(host: str, port: int) -> socket.socket:
    """A bound socket. What prevents it is told with the way out."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise InvalidInput(f"host {host!r} is no address of this machine ({error.strerror})") from error
    listener = socket.socket(family, kind, protocol)
    try:
        if sys.platform == "win32":
            # There, SO_REUSEADDR would let another process take the port over.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        # Listening here already: two processes may bind one port on some systems, but only one may listen.
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise _cannot_listen(error, host, port) from error
    return listener


def _cannot_listen(error: OSError, host: str, port: int) -> Conflict | InvalidInput | Unavailable:
    if error.errno in (errno.EADDRINUSE, getattr(errno, "WSAEADDRINUSE", errno.EADDRINUSE)):
        return Conflict(
            f"port {port} on {host} is in use by another program; stop it, or choose another port"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return InvalidInput(f"host {host!r} is no address of this machine; listen on 127.0.0.1")
    if error.errno in (errno.EACCES, errno.EPERM):
        return InvalidInput(f"port {port} may not be used by this user; choose one above 1023")
    return Unavailable(f"cannot listen on {host} port {port}: {error.strerror}")


def url_of(listener: socket.socket, host: str) -> str:
    """Where clients on this machine reach the socket."""
    port = listener.getsockname()[1]
    name = WILDCARDS.get(host, host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
