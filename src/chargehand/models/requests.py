"""One request to a model, over the provider's own protocol, and what went wrong with it in our words.

Rule: the providers' clients never try again themselves; whether and when is the scheduler's, which survives a
crash. This module imports pydantic-ai and is imported when the first request is made.
"""

import asyncio
from collections.abc import Callable, Sequence

import httpx2
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI
from pydantic_ai.direct import model_request, model_request_stream
from pydantic_ai.exceptions import (
    ModelAPIError,
    ModelAuthenticationError,
    ModelHTTPError,
    ModelNotFoundError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelRequestRejectedError,
    UserError,
)
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from chargehand.clock import Clock
from chargehand.domain.known_secrets import KNOWN
from chargehand.domain.redaction import redacted
from chargehand.errors import RuntimeMissing
from chargehand.models.choice import ModelChoice, ModelName
from chargehand.models.circuit import Ways
from chargehand.models.failure import FailureKind, ModelFailure
from chargehand.models.limits import ModelLimits
from chargehand.models.wire import Refused, cause_in, http_client, streaming

MAX_TOLD_CHARACTERS = 500
MOST_MODELS = 256
"""Clients that are kept: one for each model, and for each tenant that asks it with its own key."""

OnText = Callable[[str, str], None]
"""Told `text` or `thinking`, and the next piece of it, as an answer comes."""


class ModelRequests:
    """Requests to all configured models; clients are made when first needed and kept."""

    def __init__(self, choice: ModelChoice, limits: ModelLimits, clock: Clock) -> None:
        self._choice = choice
        self._limits = limits
        self._ways = Ways(limits, clock)
        self._client = http_client(limits)
        self._models: dict[tuple[ModelName, str | None], Model] = {}

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def ask(
        self,
        name: ModelName,
        messages: Sequence[ModelMessage],
        tools: Sequence[ToolDefinition],
        *,
        max_output_tokens: int,
        on_text: OnText | None = None,
        key: str | None = None,
    ) -> ModelResponse:
        """The model's next message. ModelFailure says what went wrong and what follows from it.

        `key`: a tenant's own, instead of the service's. With `on_text` the answer is streamed, which costs several
        times as much: for when somebody watches.
        """
        parameters = ModelRequestParameters(function_tools=list(tools))
        async with self._ways.to(name.provider.name).taken():
            settings: ModelSettings = {"max_tokens": max_output_tokens}
            answer = await self._answer(name, messages, settings, parameters, on_text, key)
            # Raised out here and without a cause: its frames hold what was received, and its streams open.
            if isinstance(answer, ModelFailure):
                raise answer
            _require_complete(name, answer, is_streamed=on_text is not None)
            return answer

    async def _answer(
        self,
        name: ModelName,
        messages: Sequence[ModelMessage],
        settings: ModelSettings,
        parameters: ModelRequestParameters,
        on_text: OnText | None,
        key: str | None,
    ) -> ModelResponse | ModelFailure:
        try:
            model = self._model(name, key)
        except RuntimeMissing as missing:
            return ModelFailure(missing.message, FailureKind.WRONG_KEY)
        try:
            async with asyncio.timeout(self._limits.total_seconds):
                if on_text is None:
                    return await model_request(
                        model, messages, model_settings=settings, model_request_parameters=parameters
                    )
                return await _streamed(model, messages, settings, parameters, on_text)
        except TimeoutError:
            told = f"{name} did not answer within {self._limits.total_seconds:g} s"
            return ModelFailure(told, FailureKind.TOO_LONG, may_be_paid=True)
        except Exception as error:  # noqa: BLE001 - what the clients make of a wrong answer is any error at all
            failure = self._failure(name, error, key)
            told = redacted(failure.message, [self._choice.key_for(name.provider, key)])
            failure.message, failure.args = told, (told,)
            return failure

    def _model(self, name: ModelName, own_key: str | None) -> Model:
        place = (name, own_key)
        if place not in self._models:
            if len(self._models) >= MOST_MODELS:
                self._models.clear()
            self._models[place] = self._made(name, own_key)
        return self._models[place]

    def _made(self, name: ModelName, own_key: str | None) -> Model:
        key, url = self._choice.key_for(name.provider, own_key), self._choice.base_url(name.provider)
        if own_key is None:
            KNOWN.add([key])
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

    def _failure(self, name: ModelName, error: Exception, own_key: str | None) -> ModelFailure:
        cause = cause_in(error)
        match error:
            case _ if isinstance(cause, Refused):
                return ModelFailure(f"{name} {cause.message}", cause.kind, may_be_paid=True)
            case ModelAuthenticationError():
                where = f"the secret {name.provider.secret}" if own_key else name.provider.key_variable
                told = f"{name} refused the key; set {where} to a valid one"
                return ModelFailure(told, FailureKind.WRONG_KEY)
            case ModelNotFoundError():
                told = f"provider {name.provider.name!r} has no model {name.model!r}"
                return ModelFailure(told, FailureKind.REFUSED)
            case ModelRequestRejectedError() | ModelQuotaExceededError() | UserError():
                return ModelFailure(f"{name}: {_told(error)}", FailureKind.REFUSED)
            case ModelRateLimitError():
                told = f"{name}: {_told(error)}"
                return ModelFailure(told, FailureKind.LIMITED, retry_after_seconds=error.retry_after)
            case ModelAPIError():
                told = f"{name}: {_told(error) if cause is None else self._on_the_wire(cause)}"
                # What the provider itself says has failed costs nothing, nor does what never reached it.
                is_free = isinstance(error, ModelHTTPError) or isinstance(
                    cause, httpx2.ConnectError | httpx2.ConnectTimeout
                )
                return ModelFailure(
                    told,
                    FailureKind.FAULTY,
                    retry_after_seconds=error.retry_after,
                    may_be_paid=not is_free,
                )
            case _:
                told = f"{name} gave no usable answer: {_told(error)}"
                return ModelFailure(told, FailureKind.FAULTY, may_be_paid=True)

    def _on_the_wire(self, cause: httpx2.TransportError) -> str:
        match cause:
            case httpx2.ConnectTimeout():
                return f"not reached within {self._limits.connect_seconds:g} s"
            case httpx2.ReadTimeout():
                return f"no answer began within {self._limits.first_byte_seconds:g} s"
            case httpx2.ConnectError():
                return f"{_place(cause)}cannot be reached ({cause})"
            case _:
                return _told(cause)


def _place(cause: httpx2.TransportError) -> str:
    """The host and port that were tried; never the rest of an address, which may hold a secret."""
    try:
        url = cause.request.url
    except RuntimeError:
        return ""  # The client was not told of any request.
    return f"{url.host}:{url.port or (443 if url.scheme == 'https' else 80)} "


async def _streamed(
    model: Model,
    messages: Sequence[ModelMessage],
    settings: ModelSettings,
    parameters: ModelRequestParameters,
    on_text: OnText,
) -> ModelResponse:
    """The answer, told piece by piece as it comes."""
    with streaming():
        async with model_request_stream(
            model, messages, model_settings=settings, model_request_parameters=parameters
        ) as stream:
            async for event in stream:
                match event:
                    case PartStartEvent(part=TextPart(content=text)) if text:
                        on_text("text", text)
                    case PartStartEvent(part=ThinkingPart(content=text)) if text:
                        on_text("thinking", text)
                    case PartDeltaEvent(delta=TextPartDelta(content_delta=text)) if text:
                        on_text("text", text)
                    case PartDeltaEvent(delta=ThinkingPartDelta(content_delta=str(text))) if text:
                        on_text("thinking", text)
                    case _:
                        pass
            return stream.get()


def _require_complete(name: ModelName, answer: ModelResponse, *, is_streamed: bool) -> None:
    """ModelFailure when what came is only the beginning of an answer, or an answer to nothing."""
    if answer.state != "complete" or (is_streamed and answer.finish_reason is None):
        raise ModelFailure(f"{name} broke off its answer", FailureKind.FAULTY, may_be_paid=True)
    if not answer.parts and (answer.finish_reason is None or not answer.provider_response_id):
        told = f"{name} sent something that is no answer of its protocol"
        raise ModelFailure(told, FailureKind.FAULTY, may_be_paid=True)


def _told(error: Exception) -> str:
    try:
        match error:
            case ModelHTTPError(status_code=status, body=body):
                text = f"status {status}: {body}"
            case _:
                text = f"{type(error).__name__}: {error}"
    except (TypeError, ValueError, RecursionError):
        # The provider's words are in it, and may be no words.
        text = type(error).__name__
    return text[:MAX_TOLD_CHARACTERS]
