"""The HTTP below a conversation with an MCP server: no redirect is followed, and nothing is read without a bound.

Imported when the first server is talked to.
"""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx2

from chargehand.tools.mcp_failure import McpFailure
from chargehand.tools.mcp_file import HttpServer

CONNECT_SECONDS = 10.0
MAX_ANSWER_BYTES = 8 * 1024 * 1024
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


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
        # A proxy for the world outside does not lead to this machine.
        is_local = (urlsplit(server.url).hostname or "") in _LOOPBACK
        self._inner = httpx2.AsyncHTTPTransport(trust_env=not is_local)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        if 300 <= response.status_code < 400:
            await response.aclose()
            raise McpFailure(
                f"the server {self._name!r} redirects, which is not followed; the operator corrects its url"
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
