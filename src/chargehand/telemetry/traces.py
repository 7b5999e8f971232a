"""Traces of runs by OpenTelemetry, when they are on; and the trace that work belongs to, in any case.

Rule: nothing of OpenTelemetry is imported, and nothing global is set, unless traces are on. A span holds no text
of a conversation and no arguments of a tool unless the operator asks for content.
"""

import asyncio
import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

import structlog

import chargehand
from chargehand.errors import RuntimeMissing

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

log = structlog.stdlib.get_logger("chargehand.traces")

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
FLUSH_SECONDS = 5.0
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_current: ContextVar[str | None] = ContextVar("traceparent", default=None)

Value = str | int | float | bool | tuple[str, ...]


def current_traceparent() -> str | None:
    """The W3C trace context of the work that is going on: for children, and for requests to providers."""
    return _current.get()


def valid_traceparent(text: str | None) -> str | None:
    """The text when it is a trace context of version 00; what is not is passed over, as W3C asks."""
    return text if text is not None and _TRACEPARENT.fullmatch(text) else None


class Mark(Protocol):
    """What can be noted on a span that is open."""

    def note(self, attributes: Mapping[str, Value]) -> None:
        """Set attributes."""
        ...

    def fail(self, kind: str) -> None:
        """The work failed; `kind` is a code, no text from outside."""
        ...


class NoMark:
    """Nobody looks."""

    def note(self, attributes: Mapping[str, Value]) -> None:
        """Nothing."""

    def fail(self, kind: str) -> None:
        """Nothing."""


class Traces:
    """No spans; the trace context that came with a task is still passed on."""

    is_on = False
    with_content = False

    @contextmanager
    def within(self, traceparent: str | None, fallback: str) -> Generator[None]:
        """Work that belongs to a trace. `fallback` is the trace of work that came without one."""
        del fallback
        token = _current.set(traceparent)
        try:
            yield
        finally:
            _current.reset(token)

    @contextmanager
    def span(self, name: str, attributes: Mapping[str, Value], *, is_client: bool = False) -> Generator[Mark]:
        """A span around a piece of work, below the one that is open."""
        del name, attributes, is_client
        yield _NO_MARK

    async def close(self) -> None:
        """Nothing is kept back."""


_NO_MARK = NoMark()


class OpenTraces(Traces):
    """Spans that a provider of OpenTelemetry takes. The provider is ours alone, never the process's."""

    is_on = True

    def __init__(self, provider: "TracerProvider", *, with_content: bool = False) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("chargehand", chargehand.__version__)
        self.with_content = with_content

    @contextmanager
    def within(self, traceparent: str | None, fallback: str) -> Generator[None]:
        with Traces.within(self, traceparent or fallback, fallback):
            yield

    @contextmanager
    def span(self, name: str, attributes: Mapping[str, Value], *, is_client: bool = False) -> Generator[Mark]:
        from opentelemetry.trace import SpanKind  # noqa: PLC0415 - only when traces are on

        kind = SpanKind.CLIENT if is_client else SpanKind.INTERNAL
        span = self._tracer.start_span(name, _context(_current.get()), kind, attributes)
        told = span.get_span_context()
        token = _current.set(f"00-{told.trace_id:032x}-{told.span_id:016x}-{int(told.trace_flags):02x}")
        mark = _Open(span)
        try:
            yield mark
        except BaseException as error:
            mark.fail(type(error).__name__)
            raise
        finally:
            _current.reset(token)
            span.end()

    async def close(self) -> None:
        """Send what is kept back, for a few seconds at most."""
        sent = asyncio.create_task(asyncio.to_thread(self._provider.shutdown))
        done, _ = await asyncio.wait((sent,), timeout=FLUSH_SECONDS)
        if not done:
            log.warning("the collector took no traces; the last are lost")


class _Open:
    """An open span."""

    def __init__(self, span: "Span") -> None:
        self._span = span
        self._has_failed = False

    def note(self, attributes: Mapping[str, Value]) -> None:
        self._span.set_attributes(attributes)

    def fail(self, kind: str) -> None:
        from opentelemetry.trace import StatusCode  # noqa: PLC0415 - only when traces are on

        if self._has_failed:
            return  # What was said first is closer to the cause.
        self._has_failed = True
        self._span.set_attribute("error.type", kind)
        self._span.set_status(StatusCode.ERROR)


def _context(traceparent: str | None) -> "Context":
    from opentelemetry.context import Context  # noqa: PLC0415 - only when traces are on
    from opentelemetry.trace import (  # noqa: PLC0415 - only when traces are on
        NonRecordingSpan,
        SpanContext,
        TraceFlags,
        set_span_in_context,
    )

    parts = _TRACEPARENT.fullmatch(traceparent or "")
    if parts is None:
        return Context()
    trace, parent, flags = (int(part, 16) for part in parts.groups())
    return set_span_in_context(
        NonRecordingSpan(SpanContext(trace, parent, is_remote=True, trace_flags=TraceFlags(flags))), Context()
    )


def open_traces(choice: str, environment: Mapping[str, str], *, with_content: bool) -> Traces:
    """The traces that the settings ask for. `auto`: on when a collector is named in the environment."""
    named = any(environment.get(name) for name in ENDPOINTS)
    if choice == "off" or (choice == "auto" and not named):
        return Traces()
    try:
        return OpenTraces(_exporting_provider(environment), with_content=with_content)
    except ImportError as missing:
        told = "traces need an extra: `pip install chargehand[telemetry]`"
        if choice == "on":
            raise RuntimeMissing(f"{told}, or set CHARGEHAND_TRACES=off") from missing
        log.warning("a collector is named in the environment, yet nothing is sent to it", reason=told)
        return Traces()


def _exporting_provider(environment: Mapping[str, str]) -> "TracerProvider":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - see above
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415 - see above
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - see above
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - see above

    name = environment.get("OTEL_SERVICE_NAME") or "chargehand"
    resource = Resource.create({"service.name": name, "service.version": chargehand.__version__})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
