"""The real clients of the protocols, pointed at a model server of the test kit."""

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx2
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider

PROTOCOLS = ["anthropic-messages", "openai-chat", "openai-responses", "gemini"]


# Nothing here is encrypted, and to load the certificates takes longer than most tests.
_NO_CERTIFICATES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def http_client(url: str = "", *, timeout: float = 30) -> httpx2.AsyncClient:
    """A client for what stands below the URL."""
    return httpx2.AsyncClient(base_url=url, timeout=timeout, verify=_NO_CERTIFICATES)


@asynccontextmanager
async def model_of(protocol: str, url: str) -> AsyncGenerator[Model, None]:
    """A model that speaks the protocol. Its connections are closed at the end."""
    async with http_client() as http:
        match protocol:
            case "anthropic-messages":
                yield AnthropicModel(
                    "scripted", provider=AnthropicProvider(base_url=url, api_key="any", http_client=http)
                )
            case "gemini":
                yield GoogleModel(
                    "scripted", provider=GoogleProvider(base_url=url, api_key="any", http_client=http)
                )
            case _:
                provider = OpenAIProvider(base_url=f"{url}/v1", api_key="any", http_client=http)
                chat = protocol == "openai-chat"
                yield (OpenAIChatModel if chat else OpenAIResponsesModel)("scripted", provider=provider)


def request_in(protocol: str, prompt: str, *, is_streamed: bool) -> tuple[str, dict[str, object]]:
    """The path and body of a request, for tests that look at what goes over the wire."""
    messages = [{"role": "user", "content": prompt}]
    body: dict[str, object] = {"model": "scripted", "stream": is_streamed}
    match protocol:
        case "anthropic-messages":
            return "/v1/messages", {**body, "max_tokens": 100, "messages": messages}
        case "openai-chat":
            return "/v1/chat/completions", {**body, "messages": messages}
        case "openai-responses":
            return "/v1/responses", {**body, "input": messages}
        case _:
            method = "streamGenerateContent?alt=sse" if is_streamed else "generateContent"
            contents = [{"role": "user", "parts": [{"text": prompt}]}]
            return f"/v1beta/models/scripted:{method}", {"contents": contents}
