"""A receiver of webhooks on the loopback: it takes what is posted, and behaves as the test says."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any
from unittest.mock import patch

from standardwebhooks import Webhook

from tests.listening import listening


@dataclass(frozen=True, slots=True)
class Taken:
    """A request, as it came."""

    headers: Mapping[str, str]
    body: bytes
    path: str = "/"

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def said(self) -> dict[str, Any]:
        return json.loads(self.body)

    @property
    def event(self) -> tuple[str, int]:
        """(task, number) of the event that it tells."""
        return self.said["data"]["task_id"], self.said["data"]["sequence"]

    def verified(self, *secrets: str) -> dict[str, Any]:
        """What the library makes of it with each secret; it raises when a signature is wrong, or the time is.

        The time of a test may be injected: then the library is shown the clock that the sender goes by.
        """

        class Then(datetime):
            @classmethod
            def now(cls, tz: tzinfo | None = None) -> datetime:
                return datetime.fromtimestamp(int(self.headers["webhook-timestamp"]), tz)

        with patch("standardwebhooks.webhooks.datetime", Then):
            for secret in secrets:
                Webhook(secret).verify(self.body, dict(self.headers))
        return self.said


Answer = Callable[[Taken, asyncio.StreamWriter], Awaitable[None]]


def status(code: int, *, more: str = "", body: str = "") -> Answer:
    """An answer with this status."""

    async def answer(taken: Taken, writer: asyncio.StreamWriter) -> None:
        del taken
        head = f"HTTP/1.1 {code} X\r\n{more}Content-Length: {len(body.encode())}\r\n\r\n"
        writer.write(head.encode() + body.encode())

    return answer


@dataclass(slots=True)
class Receiver:
    """`answer` decides about each request; those that it was asked are in `taken`, whatever it said."""

    answer: Answer = field(default_factory=lambda: status(204))
    taken: list[Taken] = field(default_factory=list[Taken])
    port: int = 0
    came: asyncio.Condition = field(default_factory=asyncio.Condition)
    at_once: int = 0
    most_at_once: int = 0

    def url(self, path: str = "/hook") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            taken = await _read(reader)
            self.taken.append(taken)
            async with self.came:
                self.came.notify_all()
            await _until_gone(reader, self.answer(taken, writer))
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.at_once -= 1
            writer.close()

    async def until(self, holds: Callable[[], bool], seconds: float = 30) -> None:
        """Return when it holds, which is looked at whenever something has come."""
        async with asyncio.timeout(seconds), self.came:
            await self.came.wait_for(holds)


async def _until_gone(reader: asyncio.StreamReader, answering: Awaitable[None]) -> None:
    """Answer, unless the other side hangs up before."""
    answered, gone = asyncio.ensure_future(answering), asyncio.ensure_future(reader.read(1))
    try:
        await asyncio.wait([answered, gone], return_when=asyncio.FIRST_COMPLETED)
    finally:
        answered.cancel()
        gone.cancel()
        await asyncio.gather(answered, gone, return_exceptions=True)


async def _read(reader: asyncio.StreamReader) -> Taken:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Taken(headers, body, first.split()[1])


@asynccontextmanager
async def a_receiver(answer: Answer | None = None) -> AsyncGenerator[Receiver]:
    """One that takes everything, unless it is told what to answer."""
    receiver = Receiver(answer=answer or status(204))
    async with listening(receiver.serve) as receiver.port:
        yield receiver
