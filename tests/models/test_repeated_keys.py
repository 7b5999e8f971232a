"""A provider that says the key back in what it refuses: the key stands in no message of ours."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from pydantic_ai.messages import ModelRequest

from chargehand.clock import SystemClock
from chargehand.models.choice import ModelChoice, parsed
from chargehand.models.failure import ModelFailure
from chargehand.models.limits import ModelLimits
from chargehand.models.requests import ModelRequests
from tests.listening import listening
from tests.runtimes.test_model import BASE_PATHS, MODELS

KEY = "sk-canary-0123456789abcdef"
VARIABLES = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GOOGLE_API_KEY")
ERROR = b'{"error": {"message": "the key %s is wrong", "type": "x", "code": 0, "status": "X"}}' % KEY.encode()
LONG = b'{"error": {"message": "' + b"x" * 440 + KEY.encode() * 20 + b'"}}'


@asynccontextmanager
async def refusing(status: str, headers: str, body: bytes) -> AsyncGenerator[str]:
    """A server that answers everything so."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        top = f"HTTP/1.1 {status}\r\n{headers}content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        writer.write(top.encode() + body)
        await writer.drain()
        writer.close()

    async with listening(answer) as port:
        yield f"http://127.0.0.1:{port}"


def ignored(kind: str, text: str) -> None:
    del kind, text


JSON = "content-type: application/json\r\n"
ANSWERS = {
    "wrong key": ("401 No", JSON, ERROR),
    "forbidden": ("403 No", JSON, ERROR),
    "refused": ("400 No", JSON, ERROR),
    "limited": ("429 No", JSON, ERROR),
    "failed": ("500 No", JSON, ERROR),
    "cut in the key": ("400 No", JSON, LONG),
    "no JSON": ("400 No", "content-type: text/plain\r\n", KEY.encode()),
    "redirect": ("307 No", f"location: http://127.0.0.1:9/{'x' * 160}{KEY}\r\n", b""),
    "kind": ("200 OK", f"content-type: text/{KEY}\r\n", b"x"),
    "garbage": ("200 OK", JSON, KEY.encode()),
    "other schema": ("200 OK", JSON, ERROR),
}


@pytest.mark.parametrize("provider", MODELS)
async def test_a_key_that_is_said_back_is_in_no_message(provider: str) -> None:
    name = parsed(MODELS[provider])
    for told, answer in ANSWERS.items():
        for on_text in (None, ignored):
            async with refusing(*answer) as url:
                choice = ModelChoice(
                    default=None,
                    aliases={},
                    base_urls={provider: url + BASE_PATHS[provider]},
                    environment=dict.fromkeys(VARIABLES, KEY),
                )
                requests = ModelRequests(choice, ModelLimits(), SystemClock())
                asked = [ModelRequest.user_text_prompt("Hello.")]
                with pytest.raises(ModelFailure) as failure:
                    await requests.ask(name, asked, [], max_output_tokens=10, on_text=on_text)
                await requests.close()
            said = f"{failure.value} {failure.value.message} {failure.value!r}"
            assert KEY[:8] not in said, told
            assert failure.value.__cause__ is None
            if told == "wrong key":
                assert name.provider.key_variable in said
