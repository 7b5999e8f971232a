"""Reading request bodies: so many bytes, within so many seconds, and JSON that is safe to keep.

Rule: nothing is taken on trust. Bytes are counted as they come, whatever Content-Length says; the JSON is
refused when it is deep, wide, ambiguous (duplicate keys) or holds what databases or JavaScript would change.
"""

import asyncio
import json
import re
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chargehand.domain.values import MAX_SAFE_INTEGER, check_json
from chargehand.errors import Finding, InvalidInput, PayloadTooLarge, UnsupportedMediaType
from chargehand.serve.problems import invalid_body

BODY_SECONDS = 10.0
TEXT_SHARE = 4
"""One text in JSON may be this part of the largest body: 256 KiB of one MiB."""
MAX_KEY = 256
DRAIN_SECONDS = 2.0
DRAIN_BYTES = 16 * 1024 * 1024
JSON_TYPE = "application/json"
MARKDOWN_TYPE = "text/markdown"

_LONG_INTEGER = re.compile(rb"[0-9]{19}")
_AFTER_KEY = re.compile(rb'"[ \t\n\r]*:')

Model = TypeVar("Model", bound=BaseModel)


class BodyLimits:
    """Counts the bytes of a body and the time that it takes (pure ASGI)."""

    def __init__(self, app: ASGIApp, max_bytes: int, seconds: float = BODY_SECONDS) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._patience = Patience(seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] == "GET":
            await self._app(scope, receive, send)
            return
        scope["max_text"] = self._max_bytes // TEXT_SHARE
        for name, value in scope["headers"]:
            if name == b"content-length" and value.isdigit() and int(value) > self._max_bytes:
                await _drain(receive)
                raise self._too_large()
        await self._app(scope, self._limited(receive), send)

    def _limited(self, receive: Receive) -> Receive:
        received_bytes = 0
        complete = False
        deadline = self._patience.deadline()

        async def limited() -> Message:
            nonlocal received_bytes, complete
            if complete:
                # Only the disconnect is left to come, and that may take as long as the answer.
                return await receive()
            message = await self._patience.wait(receive, deadline)
            received_bytes += len(message.get("body", b""))
            complete = not message.get("more_body", False)
            if received_bytes > self._max_bytes:
                if not complete:
                    await _drain(receive)
                raise self._too_large()
            return message

        return limited

    def _too_large(self) -> PayloadTooLarge:
        return PayloadTooLarge(f"the body is larger than {self._max_bytes} bytes; send less")


class Patience:
    """Deadlines of all bodies that are being read, watched by one timer.

    A timer for each, as asyncio.timeout sets, would cost a tenth of a small request; a deadline here may be
    overrun by a tenth of its length.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._is_watching = False

    def deadline(self) -> float:
        """For what begins now."""
        return asyncio.get_running_loop().time() + self._seconds

    async def wait(self, receive: Receive, deadline: float) -> Message:
        """The next message; 408 when it comes too late."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a request is answered in a task")
        self._waiting[task] = deadline
        if not self._is_watching:
            self._watch()
        try:
            return await receive()
        except asyncio.CancelledError:
            if task not in self._late:
                raise
            task.uncancel()
            detail = f"the body did not arrive within {self._seconds:g} s; send it faster, or less"
            raise HTTPException(408, detail, headers={"Connection": "close"}) from None
        finally:
            del self._waiting[task]
            self._late.discard(task)

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        for task, deadline in self._waiting.items():
            if deadline <= loop.time() and task not in self._late:
                self._late.add(task)
                task.cancel()
        self._is_watching = bool(self._waiting)
        if self._is_watching:
            loop.call_later(self._seconds / 10, self._watch)


async def _drain(receive: Receive) -> None:
    """Read on for a while, and forget it: a client that is still sending would not see the answer."""
    drained_bytes = 0
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            while drained_bytes < DRAIN_BYTES:
                message = await receive()
                drained_bytes += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return


async def read_json(request: Request, model: type[Model]) -> Model:
    """The body as a model. UnsupportedMediaType, PayloadTooLarge, InvalidInput with findings."""
    if content_type(request) != JSON_TYPE:
        raise UnsupportedMediaType(f"send the body as Content-Type: {JSON_TYPE}")
    value = parse_json(await request.body(), max_text=request.scope.get("max_text"))
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise invalid_body(error) from None


async def read_text(request: Request) -> str:
    """The body as UTF-8 text."""
    try:
        return (await request.body()).decode()
    except UnicodeDecodeError as error:
        message = f"the body is not UTF-8: byte {error.start} cannot be read; save the file as UTF-8"
        raise InvalidInput(message) from None


def content_type(request: Request) -> str:
    """The media type alone, in lower case; a charset other than UTF-8 is refused."""
    media_type, _, parameters = request.headers.get("content-type", "").partition(";")
    name, _, charset = parameters.strip().partition("=")
    if name.lower() == "charset" and charset.strip('"').lower() not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMediaType("send the body as UTF-8")
    return media_type.strip().lower()


def parse_json(body: bytes, *, max_text: int | None = None) -> Any:
    """A JSON value that can be kept as it is. `max_text`: how many characters one text may have."""
    try:
        value: Any = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        finding = Finding(where="body", message=error.msg, line=error.lineno, hint="send one JSON value")
        raise InvalidInput(f"the body is not JSON: {finding}", findings=[finding]) from None
    keys = check_json(value, max_text=max_text, max_key=MAX_KEY)
    # orjson keeps the last of two equal keys; who reads the first would see another request. There are as many
    # keys as there are of these signs, or fewer when texts hold some or keys are repeated: then it is looked into.
    # It makes a float of an integer of more than 64 bits, which is another number.
    if len(_AFTER_KEY.findall(body)) != keys or _LONG_INTEGER.search(body):
        json.loads(body, object_pairs_hook=_refuse_duplicates, parse_int=_refuse_large)
    return value


def _refuse_large(digits: str) -> None:
    if len(digits) > len(str(MAX_SAFE_INTEGER)) + 1 or abs(int(digits)) > MAX_SAFE_INTEGER:
        raise InvalidInput("an integer is beyond ±2^53; send it as a string")


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise InvalidInput("an object of the body has the same key twice; send each key once")
