"""What goes over the wire to a provider, within bounds: time between bytes, bytes in all, the kind of answer.

Rule: nothing that a provider sends is trusted to end. An answer is counted as it comes, before anybody decodes
it; no answer is compressed, because what unpacks to gigabytes is small on the wire; no redirect is followed,
because it would take the key along.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import contextmanager
from contextvars import ContextVar

import httpx2

from chargehand.models.failure import FailureKind
from chargehand.models.limits import ModelLimits
from chargehand.telemetry.traces import current_traceparent

_is_streamed: ContextVar[bool] = ContextVar("_is_streamed", default=False)
"""Whether the request being made asks for a stream; the providers' clients have no place to hand it through."""


class Refused(httpx2.TransportError):
    """An answer that is not read on. The providers' clients wrap it; `cause_in` finds it again."""

    def __init__(self, message: str, kind: FailureKind) -> None:
        super().__init__(message)
        self.message = message
        self.kind = kind


def cause_in(error: BaseException) -> httpx2.TransportError | None:
    """What happened on the wire, `Refused` before all, when an error of a provider's client comes from that."""
    found: list[httpx2.TransportError] = []
    seen: BaseException | None = error
    while seen is not None and len(found) < 10:
        if isinstance(seen, Refused):
            return seen
        if isinstance(seen, httpx2.TransportError):
            found.append(seen)
        seen = seen.__cause__ or seen.__context__
    return found[-1] if found else None


@contextmanager
def streaming() -> Generator[None, None, None]:
    """Requests within it are answered in a stream, so their first byte is due early."""
    token = _is_streamed.set(True)
    try:
        yield
    finally:
        _is_streamed.reset(token)


def http_client(limits: ModelLimits) -> httpx2.AsyncClient:
    """A client whose answers are bounded. Proxies of the environment are used, as by any other."""

    async def before(request: httpx2.Request) -> None:
        request.headers["accept-encoding"] = "identity"
        if traceparent := current_traceparent():
            request.headers["traceparent"] = traceparent
        read = limits.first_byte_seconds if _is_streamed.get() else limits.total_seconds
        # The providers' clients bring times of their own.
        request.extensions["timeout"] = {
            "connect": limits.connect_seconds,
            "read": read,
            "write": limits.total_seconds,
            "pool": limits.total_seconds,
        }

    async def after(response: httpx2.Response) -> None:
        refuse_by_head(response)
        response.stream = _Bounded(response.stream, limits)

    return httpx2.AsyncClient(
        timeout=httpx2.Timeout(limits.total_seconds, connect=limits.connect_seconds),
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=100),
        follow_redirects=False,
        event_hooks={"request": [before], "response": [after]},
    )


def refuse_by_head(response: httpx2.Response) -> None:
    """Refused when status and headers say that what follows can be no answer."""
    if response.is_redirect or 300 <= response.status_code < 400:
        place = response.headers.get("location", "")[:200]
        raise Refused(
            f"redirects to {place!r}, which is not followed; set CHARGEHAND_MODEL_URLS to where it answers",
            FailureKind.REFUSED,
        )
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise Refused(
            f"sent an answer in the encoding {encoding[:40]!r}, unasked; it is not unpacked",
            FailureKind.FAULTY,
        )
    kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if response.is_success and kind and "json" not in kind and kind != "text/event-stream":
        raise Refused(
            f"answered with {kind[:80]!r}, where JSON or an event stream was due; is the address right?",
            FailureKind.FAULTY,
        )


class _Bounded(httpx2.AsyncByteStream):
    """The body of an answer, as long as it comes in time and fits."""

    def __init__(self, inner: object, limits: ModelLimits) -> None:
        assert isinstance(inner, httpx2.AsyncByteStream)  # noqa: S101 - an AsyncClient has no other
        self._inner = inner
        self._limits = limits

    async def __aiter__(self) -> AsyncIterator[bytes]:
        left = self._limits.max_answer_bytes
        chunks = aiter(self._inner)
        try:
            while (chunk := await self._next(chunks)) is not None:
                left -= len(chunk)
                if left < 0:
                    raise Refused(
                        f"sent more than {self._limits.max_answer_bytes} bytes; the rest was not read"
                        " (CHARGEHAND_MODEL_ANSWER_BYTES)",
                        FailureKind.TOO_LARGE,
                    )
                yield chunk
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()

    async def _next(self, chunks: AsyncIterator[bytes]) -> bytes | None:
        try:
            async with asyncio.timeout(self._limits.idle_seconds):
                return await anext(chunks, None)
        except TimeoutError:
            raise Refused(
                f"began to answer and then said nothing for {self._limits.idle_seconds:g} s",
                FailureKind.FAULTY,
            ) from None

    async def aclose(self) -> None:
        await self._inner.aclose()
