"""OpenAI's Responses protocol: POST /v1/responses."""

from collections.abc import Iterator, Mapping
from itertools import count, groupby
from typing import Any

from pydantic import BaseModel

from chargehand.errors import InvalidInput
from chargehand.testkit.dialect import Answer, Asked, Dialect, JsonObject, frame, hash_of, pieces
from chargehand.testkit.openai_chat import CREATED, openai_error

_OF_THE_MODEL = {"reasoning", "function_call"}


class _Block(BaseModel):
    type: str
    text: str = ""


class _Item(BaseModel):
    type: str = "message"
    role: str | None = None
    # Of other items than messages it may be anything, and is not looked at.
    content: Any = None

    @property
    def is_of_the_model(self) -> bool:
        return self.role == "assistant" or self.type in _OF_THE_MODEL

    @property
    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        blocks = _Content.model_validate({"blocks": self.content or []}).blocks
        return "\n".join(block.text for block in blocks if block.type == "input_text")


class _Content(BaseModel):
    blocks: list[_Block]


class _Request(BaseModel):
    model: str
    input: str | list[_Item]
    instructions: str | None = None
    stream: bool | None = False
    previous_response_id: str | None = None
    conversation: Any = None


def _read(body: JsonObject, path: Mapping[str, str]) -> Asked:
    del path
    request = _Request.model_validate(body)
    if request.previous_response_id or request.conversation:
        raise InvalidInput("this server keeps no conversations: send the whole input each time")
    items = request.input if isinstance(request.input, list) else [_Item(role="user", content=request.input)]
    system = [item.text for item in items if item.role in {"system", "developer"}]
    return Asked(
        model=request.model,
        system="\n".join([request.instructions or "", *system]).strip("\n"),
        prompt=next((item.text for item in items if item.role == "user"), ""),
        # One turn is several items here: thinking, a message, calls. What stands between turns is not the model's.
        turn=sum(is_of_the_model for is_of_the_model, _ in groupby(items, lambda item: item.is_of_the_model)),
        is_streamed=bool(request.stream),
        messages_hash=hash_of(body["input"]),
    )


def _items(answer: Answer) -> Iterator[JsonObject]:
    if answer.thinking is not None:
        summary = [{"type": "summary_text", "text": answer.thinking}]
        yield {"type": "reasoning", "id": f"rs_{answer.name}", "summary": summary}
    if answer.text is not None:
        yield {
            "type": "message",
            "id": f"msg_{answer.name}",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": answer.text, "annotations": []}],
        }
    for index, call in enumerate(answer.calls):
        yield {
            "type": "function_call",
            "id": f"fc_{answer.name}_{index}",
            "call_id": call.id,
            "name": call.name,
            "arguments": call.arguments_text,
            "status": "completed",
        }


def _response(answer: Answer, status: str, output: list[JsonObject]) -> JsonObject:
    usage = {
        "input_tokens": answer.input_tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": answer.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": answer.input_tokens + answer.output_tokens,
    }
    return {
        "id": f"resp_{answer.name}",
        "object": "response",
        "created_at": CREATED,
        "status": status,
        "model": answer.model,
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "usage": usage if status == "completed" else None,
    }


def _whole(answer: Answer) -> JsonObject:
    return _response(answer, "completed", list(_items(answer)))


def _streamed(answer: Answer) -> Iterator[bytes]:
    numbers = count()
    for kind, fields in _events(answer):
        yield frame({"type": kind, "sequence_number": next(numbers), **fields}, event=kind)


def _events(answer: Answer) -> Iterator[tuple[str, JsonObject]]:
    begun = _response(answer, "in_progress", [])
    yield "response.created", {"response": begun}
    yield "response.in_progress", {"response": begun}
    for index, item in enumerate(_items(answer)):
        at: JsonObject = {"output_index": index}
        inside: JsonObject = {**at, "item_id": item["id"]}
        match item["type"]:
            case "reasoning":
                yield "response.output_item.added", {**at, "item": {**item, "summary": []}}
                yield from _reasoning_events(item, inside)
            case "message":
                begun_item: JsonObject = {**item, "status": "in_progress", "content": []}
                yield "response.output_item.added", {**at, "item": begun_item}
                yield from _text_events(item, inside)
            case _:
                begun_item = {**item, "status": "in_progress", "arguments": ""}
                yield "response.output_item.added", {**at, "item": begun_item}
                for piece in pieces(item["arguments"]):
                    yield "response.function_call_arguments.delta", {**inside, "delta": piece}
                ended = {**inside, "name": item["name"], "arguments": item["arguments"]}
                yield "response.function_call_arguments.done", ended
        yield "response.output_item.done", {**at, "item": item}
    yield "response.completed", {"response": _whole(answer)}


def _reasoning_events(item: JsonObject, inside: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    part: JsonObject = item["summary"][0]
    place = {**inside, "summary_index": 0}
    yield "response.reasoning_summary_part.added", {**place, "part": {**part, "text": ""}}
    for piece in pieces(part["text"]):
        yield "response.reasoning_summary_text.delta", {**place, "delta": piece}
    yield "response.reasoning_summary_text.done", {**place, "text": part["text"]}
    yield "response.reasoning_summary_part.done", {**place, "part": part}


def _text_events(item: JsonObject, inside: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    part: JsonObject = item["content"][0]
    place = {**inside, "content_index": 0}
    yield "response.content_part.added", {**place, "part": {**part, "text": ""}}
    for piece in pieces(part["text"]):
        yield "response.output_text.delta", {**place, "delta": piece, "logprobs": []}
    yield "response.output_text.done", {**place, "text": part["text"], "logprobs": []}
    yield "response.content_part.done", {**place, "part": part}


OPENAI_RESPONSES = Dialect(
    name="openai-responses", read=_read, whole=_whole, streamed=_streamed, error=openai_error
)
