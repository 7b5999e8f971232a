"""One protocol at its address: reads a request, asks the desk, and answers or goes wrong as the script says."""

import asyncio
import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from email.utils import format_datetime
from typing import cast

from pydantic import ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from chargehand.clock import Clock
from chargehand.errors import InvalidInput
from chargehand.testkit.desk import Desk, NothingScripted, Reply
from chargehand.testkit.dialect import Asked, Dialect, JsonObject, compact, frame
from chargehand.testkit.request_log import Exchange, RequestLog
from chargehand.testkit.script import Fault

JSON, EVENTS = "application/json", "text/event-stream; charset=utf-8"
HTML, PAGE = "text/html; charset=utf-8", b"<html><title>Sign in</title></html>"
OTHER: JsonObject = {"answer": {"is": ["of", "another", "schema"]}}
NO_ANSWERS = frozenset({"garbage", "other_schema", "other_type", "redirect", "empty"})
ENDLESS_PIECE = 1 << 16
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
            ended, status = await _Delivery(self._dialect, self._stage, receive, send).deliver(
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

    def __init__(self, dialect: Dialect, stage: Stage, receive: Receive, send: Send) -> None:
        self._dialect = dialect
        self._stopping = stage.stopping
        self._clock = stage.clock
        self._receive = receive
        self._send = send

    async def deliver(self, reply: Reply, *, is_streamed: bool) -> tuple[str, int | None]:
        """How it ended, and the status that was sent."""
        if reply.delay_seconds and await self._is_gone_within(reply.delay_seconds):
            return "gone", None
        fault, kind = reply.fault, EVENTS if is_streamed else JSON
        if fault is None:
            await self._send_chunks(self._chunks(reply, is_streamed=is_streamed), kind, reply.stream_seconds)
            return "answered", 200
        if fault.kind in NO_ANSWERS:
            return f"fault: {fault.kind}", await self._send_no_answer(
                fault.kind, kind, is_streamed=is_streamed
            )
        status: int | None = 200
        match fault.kind:
            case "status":
                status = await self._send_status(fault)
            case "hang_before":
                status = None
                await self._is_gone_within(None)
            case "gzip_bomb_bytes":
                bomb = await asyncio.to_thread(gzip_bomb, fault.gzip_bomb_bytes or 1)
                await _send_all(self._send, 200, kind, bomb, [(b"content-encoding", b"gzip")])
            case "endless":
                await self._send_endless(self._chunks(reply, is_streamed=is_streamed), kind)
            case "drip_seconds":
                chunks = self._chunks(reply, is_streamed=is_streamed)
                await self._send_dripping(b"".join(chunks), kind, fault.drip_seconds or 1)
            case "hang_midstream" | "cut_midstream":
                # What is returned from unfinished is closed by the server, which the other side sees as cut.
                await self._send_half(self._chunks(reply, is_streamed=is_streamed), kind)
                if fault.hang_midstream:
                    await self._is_gone_within(None)
            case _:
                await self._send_chunks(self._chunks(reply, is_streamed=is_streamed), kind)
        return f"fault: {fault.kind}", status

    async def _send_no_answer(self, fault: str, kind: str, *, is_streamed: bool) -> int:
        """Something whole that is no answer of the protocol."""
        match fault:
            case "redirect":
                await _send_all(self._send, 307, JSON, b"{}", [(b"location", b"/elsewhere")])
                return 307
            case "other_type":
                await _send_all(self._send, 200, HTML, PAGE)
            case "other_schema":
                body = frame(OTHER) if is_streamed else compact(OTHER).encode()
                await _send_all(self._send, 200, kind, body)
            case _:
                await _send_all(self._send, 200, kind, GARBAGE.encode() if fault == "garbage" else b"")
        return 200

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
        headers = []
        if wait is not None:
            # Whole seconds: that is all that the header may have.
            at = self._clock.now() + timedelta(seconds=math.ceil(wait))
            text = format_datetime(at, usegmt=True) if fault.retry_after_as_date else str(math.ceil(wait))
            headers = [(b"retry-after", text.encode())]
        await _send_all(self._send, status, JSON, body, headers)
        return status

    async def _send_chunks(self, chunks: Sequence[bytes], kind: str, seconds: float = 0) -> None:
        """The answer; when it has several pieces they are spread over so many seconds."""
        if len(chunks) == 1:
            await _send_all(self._send, 200, kind, chunks[0])
            return
        await self._send({"type": "http.response.start", "status": 200, "headers": _headers(kind)})
        for chunk in chunks:
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
            if seconds and await self._is_gone_within(seconds / len(chunks)):
                return
        await self._send({"type": "http.response.body", "body": b""})

    async def _send_half(self, chunks: Sequence[bytes], kind: str) -> None:
        half = chunks[: max(1, len(chunks) // 2)]
        if len(chunks) == 1:
            half = [chunks[0][: len(chunks[0]) // 2]]
        await self._send({"type": "http.response.start", "status": 200, "headers": _headers(kind)})
        for chunk in half:
            await self._send({"type": "http.response.body", "body": chunk, "more_body": True})

    async def _send_endless(self, chunks: Sequence[bytes], kind: str) -> None:
        """Half of the answer, and its last piece again and again until the other side has gone."""
        await self._send_half(chunks, kind)
        again = chunks[max(0, len(chunks) // 2 - 1)] if len(chunks) > 1 else b"x"
        again *= ENDLESS_PIECE // len(again) + 1
        while not await self._is_gone_within(0):
            await self._send({"type": "http.response.body", "body": again, "more_body": True})

    async def _send_dripping(self, body: bytes, kind: str, seconds: float) -> None:
        await self._send({"type": "http.response.start", "status": 200, "headers": _headers(kind)})
        for place in range(len(body)):
            one = body[place : place + 1]
            await self._send({"type": "http.response.body", "body": one, "more_body": True})
            if await self._is_gone_within(seconds):
                return
        await self._send({"type": "http.response.body", "body": b""})

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


def gzip_bomb(unpacked_bytes: int) -> bytes:
    """So many spaces, packed to about a thousandth."""
    packer = zlib.compressobj(wbits=31)
    piece = b" " * (1 << 20)
    packed = [
        packer.compress(piece[: min(len(piece), left)]) for left in range(unpacked_bytes, 0, -len(piece))
    ]
    return b"".join((*packed, packer.flush()))


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
