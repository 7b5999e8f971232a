"""One request to a model, over the provider's own protocol, and what went wrong with it in our words.

Rule: the providers' clients never try again themselves; whether and when is the scheduler's, which survives a
crash. This module imports pydantic-ai and is imported when the first request is made.
"""

import asyncio
from collections.abc import Sequence

import httpx2
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from pydantic_ai.direct import model_request
from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelAuthenticationError,
    ModelNotFoundError,
    ModelQuotaExceededError,
    ModelRequestRejectedError,
    UnexpectedModelBehavior,
    UserError,
)
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.tools import ToolDefinition

from chargehand.models.choice import ModelChoice, ModelName
from chargehand.models.failure import ModelFailure
from chargehand.telemetry.traces import current_traceparent

MAX_TOLD_CHARACTERS = 500
CONNECT_SECONDS = 15.0


class ModelRequests:
    """Requests to all configured models; clients are made when first needed and kept."""

    def __init__(self, choice: ModelChoice, timeout_seconds: float) -> None:
        self._choice = choice
        self._timeout_seconds = timeout_seconds
        timeout = httpx2.Timeout(timeout_seconds, connect=min(CONNECT_SECONDS, timeout_seconds))
        self._client = httpx2.AsyncClient(timeout=timeout, event_hooks={"request": [_tell_trace]})
        self._models: dict[ModelName, Model] = {}

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def ask(
        self, name: ModelName, messages: Sequence[ModelMessage], tools: Sequence[ToolDefinition]
    ) -> ModelResponse:
        """The model's next message. ModelFailure says what went wrong and whether another try may do better."""
        parameters = ModelRequestParameters(function_tools=list(tools))
        try:
            async with asyncio.timeout(self._timeout_seconds):
                return await model_request(self._model(name), messages, model_request_parameters=parameters)
        except TimeoutError as error:
            told = f"{name} did not answer within {self._timeout_seconds:g} s"
            raise ModelFailure(told, may_retry=True) from error
        except (ModelAPIError, UnexpectedModelBehavior, UserError) as error:
            raise self._failure(name, error) from error
        except (httpx2.HTTPError, ValueError) as error:
            # What is no JSON, or none of the protocol's, comes out of the clients as these.
            raise ModelFailure(f"{name} gave no usable answer: {_told(error)}", may_retry=True) from error

    def _model(self, name: ModelName) -> Model:
        if name not in self._models:
            self._models[name] = self._made(name)
        return self._models[name]

    def _made(self, name: ModelName) -> Model:
        key, url = self._choice.key(name.provider), self._choice.base_url(name.provider)
        match name.provider.name:
            case "anthropic":
                anthropic = AsyncAnthropic(api_key=key, base_url=url, max_retries=0, http_client=self._client)
                return AnthropicModel(name.model, provider=AnthropicProvider(anthropic_client=anthropic))
            case "google":
                google = GoogleProvider(api_key=key, base_url=url, http_client=self._client)
                return GoogleModel(name.model, provider=google)
            case _:
                client = AsyncOpenAI(api_key=key, base_url=url, max_retries=0, http_client=self._client)
                openai = OpenAIProvider(openai_client=client)
                if name.provider.name == "openai-chat":
                    return OpenAIChatModel(name.model, provider=openai)
                return OpenAIResponsesModel(name.model, provider=openai)

    @staticmethod
    def _failure(name: ModelName, error: Exception) -> ModelFailure:
        told = f"{name}: {_told(error)}"
        match error:
            case ModelAuthenticationError():
                variable = name.provider.key_variable
                return ModelFailure(f"{name} refused the key; set {variable} to a valid one", may_retry=False)
            case ModelNotFoundError():
                return ModelFailure(
                    f"provider {name.provider.name!r} has no model {name.model!r}", may_retry=False
                )
            case ModelRequestRejectedError() | ModelQuotaExceededError() | UserError():
                return ModelFailure(told, may_retry=False)
            case ModelAPIError():
                return ModelFailure(told, may_retry=True, retry_after_seconds=error.retry_after)
            case _:
                return ModelFailure(told, may_retry=True)


async def _tell_trace(request: httpx2.Request) -> None:
    """The trace that the work belongs to goes out with each request."""
    if traceparent := current_traceparent():
        request.headers["traceparent"] = traceparent


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:MAX_TOLD_CHARACTERS]
