"""One protocol at its address: reads a request, asks the desk, and answers or goes wrong as the script says."""

import asyncio
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from chargehand.clock import Clock
from chargehand.errors import InvalidInput
from chargehand.testkit.desk import Desk, NothingScripted, Reply
from chargehand.testkit.dialect import Asked, Dialect, JsonObject, compact
from chargehand.testkit.request_log import Exchange, RequestLog
from chargehand.testkit.script import Fault

JSON, EVENTS = "application/json", "text/event-stream; charset=utf-8"
GARBAGE = 'data: {"this": is no answer\n\n<html>'


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What the endpoints share."""

    desk: Desk
    log: RequestLog
    clock: Clock
    stopping: asyncio.Event


class Endpoint:
    """An ASGI application for one protocol."""

    def __init__(self, dialect: Dialect, stage: Stage) -> None:
        self._dialect = dialect
        self._stage = stage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        time = self._stage.clock.now().isoformat()
        request = Request(scope, receive)
        asked: Asked | None = None
        reply: Reply | None = None
        status: int | None = 400
        body = b""
        try:
            body = await request.body()
            asked = self._read(body, request)
            reply = self._stage.desk.reply_to(asked)
        except ClientDisconnect:
            ended, status = "gone", None
        except (InvalidInput, NothingScripted) as error:
            ended = "refused"
            await _send_all(send, 400, JSON, compact(self._dialect.error(400, error.message)).encode())
        else:
            ended, status = await _Delivery(self._dialect, self._stage.stopping, receive, send).deliver(
                reply, is_streamed=asked.is_streamed
            )
        self._stage.log.add(
            Exchange(
                time=time,
                protocol=self._dialect.name,
                model=asked.model if asked else None,
                conversation=reply.conversation if reply else None,
                turn=asked.turn if asked else None,
                is_streamed=asked.is_streamed if asked else False,
                messages_hash=asked.messages_hash if asked else None,
                body_bytes=len(body),
                traceparent=request.headers.get("traceparent"),
                ended=ended,
                status=status,
            )
        )

    def _read(self, raw: bytes, request: Request) -> Asked:
        try:
            body: object = json.loads(raw)
            if not isinstance(body, dict):
                raise InvalidInput("the body is no JSON object")
            return self._dialect.read(cast("JsonObject", body), request.path_params)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise InvalidInput(f"{place}: {first['msg']}") from None
        except ValueError as error:
            raise InvalidInput(f"the body is no JSON: {error}") from None


class _Delivery:
    """One answer on its way."""

    def __init__(self, dialect: Dialect, stopping: asyncio.Event, receive: Receive, send: Send) -> None:
        self._dialect = dialect
        self._stopping = stopping
        self._receive = receive
        self._send = send

    async def deliver(self, reply: Reply, *, is_streamed: bool) -> tuple[str, int | None]:
        """How it ended, and the status that was sent."""
        if reply.delay_seconds and await self._is_gone_within(reply.delay_seconds):
            return "gone", None
        fault, kind = reply.fault, EVENTS if is_streamed else JSON
        if fault is None:
            await self._send_chunks(self._chunks(reply, is_streamed=is_streamed), kind)
            return "answered", 200
        status: int | None = 200
        match fault.kind:
            case "status":
                status = await self._send_status(fault)
            case "hang_before":
                status = None
                await self._is_gone_within(None)
            case "garbage":
                await _send_all(self._send, 200, kind, GARBAGE.encode())
            case "empty":
                await _send_all(self._send, 200, kind, b"")
            case "hang_midstream" | "cut_midstream":
                # What is returned from unfinished is closed by the server, which the other side sees as cut.
                await self._send_half(self._chunks(reply, is_streamed=is_streamed), kind)
                if fault.hang_midstream:
                    await self._is_gone_within(None)
            case _:
                await self._send_chunks(self._chunks(reply, is_streamed=is_streamed), kind)
        return f"fault: {fault.kind}", status

    def _chunks(self, reply: Reply, *, is_streamed: bool) -> Sequence[bytes]:
        if is_streamed:
            return list(self._dialect.streamed(reply.answer))
        return [compact(self._dialect.whole(reply.answer)).encode()]

    async def _send_status(self, fault: Fault) -> int:
        status = fault.status or 500
        body = compact(
            self._dialect.error(status, fault.message or f"scripted: the answer is {status}")
        ).encode()
        wait = fault.retry_after
        # Whole seconds: that is all that the header may have.
        headers = [] if wait is None else [(b"retry-after", str(math.ceil(wait)).encode())]
        await _send_all(self._send, status, JSON, body, headers)
        return status

    async def _send_chunks(self, chunks: Sequence[bytes], kind: str) -> None:
        if len(chunks) == 1:
            await _send_all(self._send, 200, kind, chunks[0])
            return
        await self._send({"type": "http.response.start", "status": 200, "headers": _headers(kind)})
        for chunk in chunks:
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        await self._send({"type": "http.response.body", "body": b""})

    async def _send_half(self, chunks: Sequence[bytes], kind: str) -> None:
        half = chunks[: max(1, len(chunks) // 2)]
        if len(chunks) == 1:
            half = [chunks[0][: len(chunks[0]) // 2]]
        await self._send({"type": "http.response.start", "status": 200, "headers": _headers(kind)})
        for chunk in half:
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def _is_gone_within(self, seconds: float | None) -> bool:
        """Wait so long, or without a limit until the other side has gone or the server stops."""
        gone = asyncio.ensure_future(self._disconnected())
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            done, _ = await asyncio.wait(
                (gone, stopping), timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            gone.cancel()
            stopping.cancel()
        return bool(done)

    async def _disconnected(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


def _headers(kind: str) -> list[tuple[bytes, bytes]]:
    return [(b"content-type", kind.encode())]


async def _send_all(
    send: Send, status: int, kind: str, body: bytes, headers: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send(
        {"type": "http.response.start", "status": status, "headers": [*_headers(kind), length, *headers]}
    )
    await send({"type": "http.response.body", "body": body})
