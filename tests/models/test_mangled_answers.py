"""An answer in which any one value is another than the protocol has: told as no answer, or usable to the end."""

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from pydantic_ai.messages import ModelRequest

from chargehand.clock import SystemClock
from chargehand.domain.values import canonical
from chargehand.models.choice import ModelChoice, parsed
from chargehand.models.failure import ModelFailure
from chargehand.models.limits import ModelLimits
from chargehand.models.requests import ModelRequests
from chargehand.runtimes.model_messages import as_step_result, message_of
from chargehand.testkit.anthropic_messages import ANTHROPIC_MESSAGES
from chargehand.testkit.dialect import Answer, Call
from chargehand.testkit.gemini import GEMINI
from chargehand.testkit.openai_chat import OPENAI_CHAT
from chargehand.testkit.openai_responses import OPENAI_RESPONSES
from tests.listening import listening
from tests.runtimes.test_model import BASE_PATHS, MODELS

DIALECTS = {
    "anthropic": ANTHROPIC_MESSAGES,
    "openai": OPENAI_RESPONSES,
    "openai-chat": OPENAI_CHAT,
    "google": GEMINI,
}
ANSWER = Answer(
    name="a",
    model="test",
    text="Hello.",
    thinking="Hm.",
    calls=[Call(id="c", name="Read", arguments={"file_path": "x"})],
    input_tokens=1,
    output_tokens=2,
)
WRONG: list[Any] = [None, "", 7, -1, [], {}, [[]], {"a": {}}, "\ud800", True]
MAX_BODIES = 300
"""Of some thousands; more would only take longer."""
DEEP = "[" * 100_000


def mangled(value: Any) -> Iterator[Any]:
    """The value with one part of it, at any depth, replaced or gone."""
    if isinstance(value, dict):
        held = cast("dict[str, Any]", value)
        for key, one in held.items():
            yield {other: kept for other, kept in held.items() if other != key}
            for wrong in (*WRONG, *mangled(one)):
                yield {**held, key: wrong}
    elif isinstance(value, list):
        items = cast("list[Any]", value)
        for place, one in enumerate(items):
            yield [*items[:place], *items[place + 1 :]]
            for wrong in (*WRONG, *mangled(one)):
                yield [*items[:place], wrong, *items[place + 1 :]]


def whole_bodies(provider: str) -> Iterator[bytes]:
    for one in mangled(DIALECTS[provider].whole(ANSWER)):
        yield json.dumps(one).encode()
    yield DEEP.encode()
    yield b'{"content": ' + DEEP.encode()


def streamed_bodies(provider: str) -> Iterator[bytes]:
    frames = [one.decode() for one in DIALECTS[provider].streamed(ANSWER)]
    for place, one in enumerate(frames):
        head, data, text = one.partition("data: ")
        if data and text.startswith("{"):
            for wrong in mangled(json.loads(text)):
                changed = f"{head}data: {json.dumps(wrong)}\n\n"
                yield "".join([*frames[:place], changed, *frames[place + 1 :]]).encode()
        yield "".join([*frames[:place], *frames[place + 1 :]]).encode()
        yield "".join(frames[:place]).encode()
    yield f"data: {DEEP}\n\n".encode()


@asynccontextmanager
async def a_server(bodies: list[bytes], kind: str) -> AsyncGenerator[str, None]:
    """Answers each request with the next body, whatever was asked."""
    left = iter(bodies)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(
                    line for line in head.lower().splitlines() if line.startswith(b"content-length")
                )
                await reader.readexactly(int(length.partition(b":")[2]))
                body = next(left)
                top = f"HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
                writer.write(top.encode() + body)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async with listening(answer) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.mark.parametrize("is_streamed", [False, True])
@pytest.mark.parametrize("provider", MODELS)
async def test_whatever_value_is_wrong_it_is_told_or_usable(provider: str, is_streamed: bool) -> None:
    made = list(streamed_bodies(provider) if is_streamed else whole_bodies(provider))
    bodies = random.Random(provider).sample(made, min(MAX_BODIES, len(made)))  # noqa: S311 - no secret
    limits = ModelLimits(circuit_failures=10**9)
    escaped: list[str] = []
    answered = told = 0
    async with a_server(bodies, "text/event-stream" if is_streamed else "application/json") as url:
        urls = {provider: url + BASE_PATHS[provider]}
        choice = ModelChoice(default=None, aliases={}, base_urls=urls, environment={})
        requests = ModelRequests(choice, limits, SystemClock())
        name = parsed(MODELS[provider])
        question = [ModelRequest.user_text_prompt("Go.")]
        for body in bodies:
            try:
                answer = await requests.ask(
                    name,
                    question,
                    [],
                    max_output_tokens=100,
                    on_text=(lambda kind, text: None) if is_streamed else None,
                )
                recorded, _, read = as_step_result(answer, str(name))
                assert read == message_of(recorded["message"], str(name))
                assert canonical(recorded).encode()
                answered += 1
            except ModelFailure:
                told += 1
            except Exception as error:  # noqa: BLE001 - every one of them is what the test looks for
                escaped.append(f"{type(error).__name__}: {error} on {body[:300]!r}")
        await requests.close()

    assert escaped == []
    assert answered > 20
    assert told > 20
