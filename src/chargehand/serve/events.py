"""A task's events: as pages of JSON, or as a stream of server-sent events that can be taken up again.

Rule: a stream holds no state of its own. Its ids are the sequence numbers of the stored events, so a client
that was cut off names the last one it saw, and misses and repeats nothing, whichever process it reaches.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, aclosing, suppress
from dataclasses import dataclass
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Send
from starlette.types import Scope as AsgiScope

from chargehand.domain.access import Scope
from chargehand.domain.history import MODEL_DELTA, Event
from chargehand.domain.task import FINAL
from chargehand.errors import TenantSuspended, Unauthorized
from chargehand.serve import queries
from chargehand.serve.auth import principal_of, verify_again
from chargehand.serve.path_ids import task_id_of
from chargehand.serve.queries import Query, last_seen
from chargehand.serve.routes import Answer, JsonResponse, Route
from chargehand.serve.stopping import Stopping
from chargehand.service.services import Services
from chargehand.service.watch import Delta
from chargehand.wire.answers import event_body, listed, to_json
from chargehand.wire.rest import EventPage

STREAM_TYPE = "text/event-stream"
RECONNECT_MILLISECONDS = 2000
PING_SECONDS = 15.0
MAX_STREAM_SECONDS = 1800.0
"""A stream ends after this time, so that none outlives a key or a proxy for long; the client resumes it."""


@dataclass(frozen=True, slots=True)
class EventRoutes:
    """The endpoint of events."""

    services: Services
    stopping: Stopping

    async def list_events(self, request: Request) -> Response:
        """What happened to the task after a sequence number, as a page or as a stream.

        With `Accept: text/event-stream` the answer is a stream that ends after the event that ends the task;
        `id` is the sequence number and `event` the kind. In between come events `model.delta` without an id:
        what a model is saying just now (`path`, and `text`, `thinking` or `restart`), kept nowhere. 204 says
        that there is nothing left to follow.
        """
        who, task_id = principal_of(request), task_id_of(request)
        query = Query(request, (queries.AFTER, queries.EVENT_LIMIT))
        after, limit = last_seen(request, query.number(queries.AFTER)), query.number(queries.EVENT_LIMIT)
        if _wants_stream(request):
            return await self._stream(request, task_id, after)
        events = await self.services.watch.events(who, task_id, after=after, limit=limit)
        next_after = events[-1].sequence if events else after
        return JsonResponse(listed((event_body(event) for event in events), next_after=next_after))

    async def _stream(self, request: Request, task_id: str, after: int) -> Response:
        who, streams = principal_of(request), self.services.streams
        await streams.check(who)
        task = await self.services.watch.get(who, task_id)
        if task.status in FINAL and after >= task.last_event:
            # To a browser's EventSource this is the sign not to come back.
            return Response(status_code=204)
        events = self.services.watch.follow_live(who, task_id, after=after)
        # Again, for others may have come while the task was read.
        await streams.check(who)
        verify = partial(verify_again, request.scope)
        return _Stream(events, self.stopping, streams.opened(who), verify)

    def routes(self) -> Sequence[Route]:
        """One route, two forms."""
        answer = Answer(description="The events.", model=EventPage, media_types=(STREAM_TYPE,))
        nothing_left = Answer(description="A stream was asked for and the task has no more events.")
        return [
            Route(
                method="GET",
                path="/tasks/{task_id}/events",
                endpoint=self.list_events,
                needs=Scope.TASKS_READ,
                tag="tasks",
                parameters=(queries.AFTER, queries.EVENT_LIMIT, queries.LAST_EVENT_ID),
                answers={200: answer, 204: nothing_left},
                problems=(404, 429),
            )
        ]


class _Stream(Response):
    """Sends events as they come, and a comment now and then so that nobody takes the line for dead."""

    media_type = STREAM_TYPE

    def __init__(
        self,
        events: AsyncGenerator[Event | Delta | None, None],
        stopping: Stopping,
        counted: AbstractContextManager[None],
        verify: Callable[[], Awaitable[None]],
    ) -> None:
        """`verify`: raises once the key that opened it has ended."""
        super().__init__(headers={"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._stopping = stopping
        self._counted = counted
        self._verify = verify

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        del scope
        with self._counted, suppress(OSError):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await _send(send, f"retry: {RECONNECT_MILLISECONDS}\n\n".encode())
            await self._pump_until_gone(receive, send)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pump_until_gone(self, receive: Receive, send: Send) -> None:
        """Until the events end, the client goes, the server stops or the stream is old: one limit for all."""
        with suppress(TimeoutError):
            async with asyncio.timeout(MAX_STREAM_SECONDS) as limit:
                loop = asyncio.get_running_loop()

                def end() -> None:
                    # Once it has run out, it cannot be moved any more.
                    if not limit.expired():
                        limit.reschedule(loop.time())

                watching = asyncio.ensure_future(_disconnected(receive, end))
                try:
                    with self._stopping.ending(end):
                        await self._pump(send)
                finally:
                    watching.cancel()

    async def _pump(self, send: Send) -> None:
        loop = asyncio.get_running_loop()
        sent_at = loop.time()
        async with aclosing(self._events) as events:
            async for event in events:
                try:
                    await self._verify()
                except (Unauthorized, TenantSuspended):
                    # Who comes back is told why.
                    return
                if isinstance(event, Delta):
                    await _send(send, delta_as_server_sent(event))
                elif event is not None:
                    await _send(send, as_server_sent(event))
                elif loop.time() - sent_at >= PING_SECONDS:
                    await _send(send, b": ping\n\n")
                else:
                    continue
                sent_at = loop.time()


async def _send(send: Send, data: bytes) -> None:
    await send({"type": "http.response.body", "body": data, "more_body": True})


async def _disconnected(receive: Receive, end: Callable[[], None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    end()


def as_server_sent(event: Event) -> bytes:
    """An event in the form of text/event-stream. JSON holds no line break, so one data line is enough."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (
        event.sequence,
        event.kind.encode(),
        to_json(event_body(event)),
    )


def delta_as_server_sent(delta: Delta) -> bytes:
    """What a model is saying, without an id: a client that comes back goes on after the last stored event."""
    return b"event: %s\ndata: %s\n\n" % (
        MODEL_DELTA.encode(),
        to_json({"task_id": delta.task_id, **delta.data}),
    )


def _wants_stream(request: Request) -> bool:
    return STREAM_TYPE in request.headers.get("accept", "")
