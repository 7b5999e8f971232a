"""A model's message as the journal holds it, and back."""

from dataclasses import replace
from typing import cast

from pydantic import ValidationError
from pydantic_ai.messages import ModelMessagesTypeAdapter, ModelResponse, ModelResponsePart, ToolCallPart
from pydantic_ai.usage import RequestUsage

from chargehand.domain.values import JsonObject, JsonValue, check_json
from chargehand.errors import InvalidInput, PayloadTooLarge
from chargehand.models.costs import believable
from chargehand.models.failure import FailureKind, ModelFailure
from chargehand.runtimes.model_prompts import plain_json
from chargehand.service.journal import MAX_STEP_NODES


def as_step_result(answer: ModelResponse, model: str) -> tuple[JsonObject, dict[str, int], ModelResponse]:
    """What is recorded of an answer, its four numbers of tokens, and the answer as a replay reads it.

    ModelFailure when it could not be read again, which would stop every replay. Arguments that nest too deep to be
    written are replaced by a text that says so: no tool takes that, and the model is told.
    """
    bounded = replace(answer, parts=[_bounded(part) for part in answer.parts])
    try:
        message: JsonValue = ModelMessagesTypeAdapter.dump_python([bounded], mode="json", warnings=False)[0]
        message = plain_json(message)
    except (ValueError, RecursionError):
        why = f"{model} gave no usable answer: it nests too deep"
        raise ModelFailure(why, FailureKind.FAULTY, may_be_paid=True) from None
    read = message_of(message, model)
    usage = read.usage
    tokens = believable(
        {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cache_read_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        }
    )
    if isinstance(message, dict):
        # The next request's size is reckoned from it.
        message["usage"] = dict(tokens)
    held: JsonObject = {"model": model, "usage": {**tokens}, "message": message}
    told = RequestUsage(
        input_tokens=tokens["input_tokens"],
        output_tokens=tokens["output_tokens"],
        cache_read_tokens=tokens["cache_read_tokens"],
        cache_write_tokens=tokens["cache_write_tokens"],
    )
    return held, tokens, replace(read, usage=told)


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
