"""Answers are bounded while they come: nothing larger is read, whatever the provider sends."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest
from pydantic_ai.messages import ModelRequest

from chargehand.clock import SystemClock
from chargehand.models.choice import ModelChoice, parsed
from chargehand.models.failure import FailureKind, ModelFailure
from chargehand.models.limits import ModelLimits
from chargehand.models.requests import ModelRequests
from chargehand.testkit.server import scripted_models
from tests.listening import listening

QUESTION = [ModelRequest.user_text_prompt("Go.")]
MODEL = parsed("anthropic:claude-test")


@asynccontextmanager
async def requests_to(url: str, **limits: float) -> AsyncGenerator[ModelRequests, None]:
    choice = ModelChoice(default=None, aliases={}, base_urls={"anthropic": url}, environment={})
    requests = ModelRequests(choice, ModelLimits(**limits), SystemClock())  # pyright: ignore[reportArgumentType] - numbers all
    try:
        yield requests
    finally:
        await requests.close()


async def failure_of(
    requests: ModelRequests, on_text: Callable[[str, str], None] | None = None
) -> ModelFailure:
    with pytest.raises(ModelFailure) as failed:
        await requests.ask(MODEL, QUESTION, [], max_output_tokens=100, on_text=on_text)
    return failed.value


@asynccontextmanager
async def a_flood(sent: list[int]) -> AsyncGenerator[str, None]:
    """A server that answers with 100 MB of JSON text; `sent` counts what the client took."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000000\r\n\r\n"
        writer.write(head.encode() + b'{"content": "')
        piece = b"x" * 65_536
        try:
            for _ in range(1500):
                writer.write(piece)
                await writer.drain()
                sent.append(len(piece))
        except ConnectionError:
            pass
        finally:
            writer.close()

    async with listening(answer) as port:
        yield f"http://127.0.0.1:{port}"


async def test_of_100_megabytes_no_more_is_read_than_the_bound() -> None:
    sent: list[int] = []
    async with a_flood(sent) as url, requests_to(url, max_answer_bytes=2_000_000) as requests:
        failure = await failure_of(requests)

    assert failure.kind is FailureKind.TOO_LARGE
    assert "more than 2000000 bytes" in failure.message
    assert "CHARGEHAND_MODEL_ANSWER_BYTES" in failure.message
    # What lies in the sockets' buffers was sent and not read.
    assert sum(sent) < 20_000_000


async def test_the_default_bound_cuts_the_100_megabytes_of_the_issue() -> None:
    script = [{"turns": [{"text": "x", "fault": {"huge_body_bytes": 100_000_000}}]}]
    async with scripted_models(script) as models, requests_to(models.url) as requests:
        failure = await failure_of(requests)

    assert failure.kind is FailureKind.TOO_LARGE
    assert f"more than {32 * 1024 * 1024} bytes" in failure.message


async def test_nobody_there_is_told_at_once() -> None:
    async with requests_to("http://127.0.0.1:9") as requests:
        failure = await failure_of(requests)

    assert failure.kind is FailureKind.FAULTY
    assert re.search(r"127\.0\.0\.1:\d+ cannot be reached", failure.message)


async def test_the_time_that_ran_out_is_named() -> None:
    script = [{"turns": [{"text": "x", "fault": {"hang_before": True}}]}]
    async with scripted_models(script) as models:
        async with requests_to(models.url, first_byte_seconds=0.2) as requests:
            streamed = await failure_of(requests, lambda kind, text: None)
        async with requests_to(models.url, total_seconds=0.2) as requests:
            whole = await failure_of(requests)

    assert (streamed.kind, whole.kind) == (FailureKind.FAULTY, FailureKind.TOO_LONG)
    assert "no answer began within 0.2 s" in streamed.message
    assert "did not answer within 0.2 s" in whole.message


async def test_a_whole_answer_may_be_silent_for_longer_than_a_streamed_one() -> None:
    script = [{"turns": [{"text": "There.", "delay_seconds": 0.4}]}]
    async with (
        scripted_models(script) as models,
        requests_to(models.url, first_byte_seconds=0.1, idle_seconds=0.1) as requests,
    ):
        answer = await requests.ask(MODEL, QUESTION, [], max_output_tokens=100)
        assert answer.text == "There."
        begun = time.monotonic()
        await failure_of(requests, lambda kind, text: None)

    assert time.monotonic() - begun < 0.4
