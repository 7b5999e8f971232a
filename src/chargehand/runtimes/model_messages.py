"""A model's message as the journal holds it, and back."""

from dataclasses import replace
from typing import cast

from pydantic import ValidationError
from pydantic_ai.messages import ModelMessagesTypeAdapter, ModelResponse, ModelResponsePart, ToolCallPart
from pydantic_ai.usage import RequestUsage

from chargehand.domain.values import JsonObject, JsonValue, check_json
from chargehand.errors import InvalidInput, PayloadTooLarge
from chargehand.models.failure import FailureKind, ModelFailure
from chargehand.runtimes.model_prompts import plain_json
from chargehand.service.journal import MAX_STEP_NODES

MAX_TOLD_TOKENS = 100_000_000
"""Of one answer; no model reads or writes so many, and sums of them stay far from what a column holds."""


def as_step_result(answer: ModelResponse, model: str) -> tuple[JsonObject, dict[str, int]]:
    """What is recorded of an answer, and its four numbers of tokens.

    ModelFailure when it could not be read again, which would stop every replay. Arguments that nest too deep to be
    written are replaced by a text that says so: no tool takes that, and the model is told.
    """
    bounded = replace(answer, parts=[_bounded(part) for part in answer.parts])
    try:
        message: JsonValue = ModelMessagesTypeAdapter.dump_python([bounded], mode="json", warnings=False)[0]
        message = plain_json(message)
    except (ValueError, RecursionError):
        told = f"{model} gave no usable answer: it nests too deep"
        raise ModelFailure(told, FailureKind.FAULTY, may_be_paid=True) from None
    tokens = _believable(message_of(message, model).usage)
    if isinstance(message, dict):
        # The next request's size is reckoned from it.
        message["usage"] = dict(tokens)
    return {"model": model, "usage": {**tokens}, "message": message}, tokens


def _believable(usage: RequestUsage) -> dict[str, int]:
    """The four numbers; none of them told when one can be no number of tokens, so that what was reserved counts."""
    tokens = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cache_read_tokens": usage.cache_read_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
    }
    if all(0 <= count <= MAX_TOLD_TOKENS for count in tokens.values()):
        return tokens
    return dict.fromkeys(tokens, 0)


def _bounded(part: ModelResponsePart) -> ModelResponsePart:
    if not isinstance(part, ToolCallPart) or not isinstance(part.args, dict):
        return part
    try:
        check_json(part.args, max_nodes=MAX_STEP_NODES)
    except PayloadTooLarge as error:
        return replace(part, args=f"not kept: {error.message}")
    except InvalidInput:
        return part  # What is no text in it is put right later.
    return part


def message_of(message: JsonValue, model: str) -> ModelResponse:
    """The message that was recorded; ModelFailure when it is none."""
    try:
        [answer] = ModelMessagesTypeAdapter.validate_python([message])
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]["msg"]
        told = f"{model} gave no usable answer: {first}"
        raise ModelFailure(told, FailureKind.FAULTY, may_be_paid=True) from None
    return cast("ModelResponse", answer)
