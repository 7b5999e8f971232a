"""Uvicorn's fast HTTP protocol with limits: on connections, on a request's head in bytes, parts and time, on requests
that are sent ahead, and on the time that a client takes to read.

The parser under it takes a URL and headers without end from anyone, before any key is asked for; h11, which is
used where this one cannot be (Windows), has a limit on the bytes of its own.
"""

import asyncio

from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from chargehand.errors import Unavailable
from chargehand.serve.edge import new_request_id
from chargehand.serve.problems import HTTP_CODES, RETRY_SECONDS, problem
from chargehand.serve.secure_headers import SecureHeaders

MAX_HEAD_BYTES = 64 * 1024
MAX_URL_BYTES = 8 * 1024
MAX_HEADERS = 100
HEAD_SECONDS = 10.0
MOST_AHEAD = 16
"""Requests that one connection may send before those before them are answered."""
READ_SECONDS = 60.0
"""How long a client may take to read what waits for it, about 64 KiB, before it is given up."""


class _Refused(Exception):
    """Ends the parsing of what came: the connection is closed already."""


class LimitedHttpProtocol(HttpToolsProtocol):
    """One connection."""

    secure_headers = SecureHeaders()
    """Those of the application, in the class that `protocol_with` makes."""

    _is_in_head = True
    _head_bytes = 0
    _deadline: asyncio.TimerHandle | None = None
    _reading: asyncio.TimerHandle | None = None
    most_connections = 10_000

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            self._refuse(503, "there are as many connections as this process takes; come back later")
            return
        self._watch_the_time()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_the_time()
        self._forget_the_reader()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reading = asyncio.get_running_loop().call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        self._forget_the_reader()
        super().resume_writing()

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

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > MAX_URL_BYTES:
            self._refuse(414, f"the request's URL is longer than {MAX_URL_BYTES} bytes")
            raise _Refused

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if len(self.headers) > MAX_HEADERS:
            self._refuse(431, f"the request has more than {MAX_HEADERS} headers")
            raise _Refused

    def on_headers_complete(self) -> None:
        self._is_in_head = False
        if len(self.pipeline) >= MOST_AHEAD:
            # None of them is answered: whoever sends so much ahead does not wait for answers.
            self.transport.close()
            raise _Refused
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

    def _forget_the_reader(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

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


def protocol_with(headers: SecureHeaders, most_connections: int) -> type[LimitedHttpProtocol]:
    """The protocol of one application: its answers carry these headers, and it has so many connections at most."""
    own = {"secure_headers": headers, "most_connections": most_connections}
    return type("LimitedHttpProtocol", (LimitedHttpProtocol,), own)


def _as_bytes(status: int, detail: str, secure: SecureHeaders) -> bytes:
    request_id = new_request_id()
    code, again = (
        (Unavailable.code, {"Retry-After": str(RETRY_SECONDS)})
        if status == 503
        else (HTTP_CODES[status], None)
    )
    answer: Response = problem(status, code, detail, request_id=request_id, headers=again)
    headers = [*secure.dress(answer.raw_headers, request_id), (b"connection", b"close")]
    lines = [b"HTTP/1.1 %d \r\n" % status, *(b"%s: %s\r\n" % header for header in headers), b"\r\n"]
    return b"".join(lines) + bytes(answer.body)
