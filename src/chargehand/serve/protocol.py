"""Uvicorn's fast HTTP protocol with a limit on a request's head, in bytes and in time.

The parser under it takes a URL and headers without end from anyone, before any key is asked for; h11, which is
used where this one cannot be (Windows), has a limit on the bytes of its own.
"""

import asyncio

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from chargehand.serve.edge import new_request_id
from chargehand.serve.problems import HTTP_CODES, problem
from chargehand.serve.secure_headers import SecureHeaders

MAX_HEAD_BYTES = 64 * 1024
HEAD_SECONDS = 10.0


class LimitedHttpProtocol(HttpToolsProtocol):
    """One connection."""

    secure_headers = SecureHeaders()
    """Those of the application, in the class that `with_headers` makes."""

    _is_in_head = True
    _head_bytes = 0
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        self._watch_the_time()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_the_time()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self._is_in_head:
            self._forget_the_time()
            return
        self._head_bytes += len(data)
        self._watch_the_time()
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(431, f"the request's URL and headers are larger than {MAX_HEAD_BYTES} bytes")

    def on_message_begin(self) -> None:
        self._is_in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """What cannot be parsed; uvicorn would tell it as text."""
        del msg
        self._refuse(400, "this is not a request of HTTP/1.1")

    def _watch_the_time(self) -> None:
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(HEAD_SECONDS, self._too_slow)

    def _forget_the_time(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_slow(self) -> None:
        self._refuse(408, f"the request's URL and headers did not arrive within {HEAD_SECONDS:g} s")

    def _refuse(self, status: int, detail: str) -> None:
        """Answer past the application, unless an answer is under way on this connection, and close it."""
        if self.transport.is_closing():
            return
        is_answering = self.cycle is not None and not self.cycle.response_complete  # pyright: ignore[reportUnnecessaryComparison] - None until the first request, whatever uvicorn declares
        if not is_answering:
            self.transport.write(_as_bytes(status, detail, self.secure_headers))
        self.transport.close()


def with_headers(headers: SecureHeaders) -> type[LimitedHttpProtocol]:
    """The protocol of an application whose answers carry these."""
    return type("LimitedHttpProtocol", (LimitedHttpProtocol,), {"secure_headers": headers})


def _as_bytes(status: int, detail: str, secure: SecureHeaders) -> bytes:
    request_id = new_request_id()
    answer: Response = problem(status, HTTP_CODES[status], detail, request_id=request_id)
    headers = [*secure.dress(answer.raw_headers, request_id), (b"connection", b"close")]
    lines = [b"HTTP/1.1 %d \r\n" % status, *(b"%s: %s\r\n" % header for header in headers), b"\r\n"]
    return b"".join(lines) + bytes(answer.body)
