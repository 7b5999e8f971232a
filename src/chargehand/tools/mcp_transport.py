"""The HTTP below a conversation with an MCP server: no redirect is followed, and nothing is read without a bound.

Rule: the guarded network dials, and only the host and port of the operator's file. That host may lie in a private
network, because the operator has named it; where machines are told about themselves it never may.
Imported when the first server is talked to.
"""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpcore2
import httpx2

from chargehand.errors import ToolError
from chargehand.network.addresses import HostRules
from chargehand.network.guarded_connections import GuardedNetwork
from chargehand.network.resolving import system_resolve
from chargehand.tools.mcp_failure import McpFailure
from chargehand.tools.mcp_file import HttpServer

CONNECT_SECONDS = 10.0
MAX_ANSWER_BYTES = 8 * 1024 * 1024
_REFUSED = {
    401: "it refuses the credential, or misses one",
    403: "the credential may not do this",
}


def bounded_client(server: HttpServer, seconds: float) -> httpx2.AsyncClient:
    """A client for this server only. InvalidInput when a variable for its headers is not set."""
    return httpx2.AsyncClient(
        # What unpacks to gigabytes is small on the wire.
        headers={**server.all_headers(), "accept-encoding": "identity"},
        timeout=httpx2.Timeout(seconds, connect=min(CONNECT_SECONDS, seconds)),
        transport=_Bounded(server),
        follow_redirects=False,
    )


class _Bounded(httpx2.AsyncBaseTransport):
    """Refuses redirects and answers that are too long, before the client sees them."""

    def __init__(self, server: HttpServer) -> None:
        self._name = server.name
        self._inner = _Guarded(server)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            response = await self._inner.handle_async_request(request)
        except ToolError as error:
            raise McpFailure(f"the server {self._name!r} cannot be talked to: {error.message}") from error
        if 300 <= response.status_code < 400:
            await response.aclose()
            raise McpFailure(
                f"the server {self._name!r} redirects, which is not followed; the operator corrects its url"
            )
        if request.method == "POST" and response.status_code in _REFUSED:
            await response.aclose()
            raise McpFailure(
                f"the server {self._name!r} answers {response.status_code}: {_REFUSED[response.status_code]};"
                " the operator corrects its headers in CHARGEHAND_MCP_FILE, or what they refer to"
            )
        encoding = response.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("", "identity"):
            await response.aclose()
            raise McpFailure(
                f"the server {self._name!r} answers in the encoding {encoding[:40]!r}, unasked; it is not unpacked"
            )
        stream = response.stream
        if isinstance(stream, httpx2.AsyncByteStream):
            response.stream = _BoundedStream(stream, self._name)
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


class _Guarded(httpx2.AsyncHTTPTransport):
    """A transport that connects through the guarded network."""

    def __init__(self, server: HttpServer) -> None:
        place = urlsplit(server.url)
        port = place.port or (443 if place.scheme == "https" else 80)
        named = (f"{place.hostname or ''}:{port}",)
        # The environment may name certificates to trust; a proxy of it would dial in our place, and is not used.
        tls = httpx2.create_ssl_context()
        super().__init__(verify=tls)
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=tls,
            network_backend=GuardedNetwork(HostRules(hosts=named, private=named), system_resolve),
        )


class _BoundedStream(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, name: str) -> None:
        self._inner = inner
        self._name = name

    async def __aiter__(self) -> AsyncIterator[bytes]:
        seen = 0
        async for chunk in self._inner:
            seen += len(chunk)
            if seen > MAX_ANSWER_BYTES:
                raise McpFailure(
                    f"the server {self._name!r} answers with more than {MAX_ANSWER_BYTES:,} bytes"
                )
            yield chunk

    async def aclose(self) -> None:
        await self._inner.aclose()
