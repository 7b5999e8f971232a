"""Anthropic's Messages protocol: POST /v1/messages."""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from chargehand.testkit.dialect import Answer, Asked, Dialect, JsonObject, frame, hash_of, pieces

_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


class _Block(BaseModel):
    type: str
    text: str = ""


class _Message(BaseModel):
    role: str
    content: str | list[_Block]


class _Request(BaseModel):
    model: str
    max_tokens: int
    messages: list[_Message]
    system: str | list[_Block] = ""
    stream: bool = False


def _text(content: str | list[_Block]) -> str:
    if isinstance(content, str):
        return content
    return "\n".join(block.text for block in content if block.type == "text")


def _read(body: JsonObject, path: Mapping[str, str]) -> Asked:
    del path
    request = _Request.model_validate(body)
    users = [message for message in request.messages if message.role == "user"]
    return Asked(
        model=request.model,
        system=_text(request.system),
        prompt=_text(users[0].content) if users else "",
        turn=sum(message.role == "assistant" for message in request.messages),
        is_streamed=request.stream,
        messages_hash=hash_of(body["messages"]),
    )


def _blocks(answer: Answer) -> Iterator[JsonObject]:
    if answer.thinking is not None:
        yield {"type": "thinking", "thinking": answer.thinking, "signature": f"signature-{answer.name}"}
    if answer.text is not None:
        yield {"type": "text", "text": answer.text}
    for call in answer.calls:
        # Here the arguments are no text: those that are to be no JSON become a value of the wrong type.
        given = call.arguments_text if call.has_bad_json else dict(call.arguments)
        yield {"type": "tool_use", "id": call.id, "name": call.name, "input": given}


def _whole(answer: Answer) -> JsonObject:
    return {
        "id": f"msg_{answer.name}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": list(_blocks(answer)),
        "stop_reason": "tool_use" if answer.calls else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": answer.input_tokens, "output_tokens": answer.output_tokens},
    }


def _event(kind: str, **fields: object) -> bytes:
    return frame({"type": kind, **fields}, event=kind)


def _streamed(answer: Answer) -> Iterator[bytes]:
    whole = _whole(answer)
    begun = {"input_tokens": answer.input_tokens, "output_tokens": 1}
    yield _event("message_start", message={**whole, "content": [], "stop_reason": None, "usage": begun})
    arguments = iter(answer.calls)
    for index, block in enumerate(_blocks(answer)):
        start: JsonObject
        deltas: list[JsonObject]
        match block["type"]:
            case "thinking":
                start = {**block, "thinking": "", "signature": ""}
                deltas = [
                    {"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"])
                ]
                deltas.append({"type": "signature_delta", "signature": block["signature"]})
            case "text":
                start = {**block, "text": ""}
                deltas = [{"type": "text_delta", "text": piece} for piece in pieces(block["text"])]
            case _:
                start = {**block, "input": {}}
                text = next(arguments).arguments_text
                deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces(text)]
        yield _event("content_block_start", index=index, content_block=start)
        for delta in deltas:
            yield _event("content_block_delta", index=index, delta=delta)
        yield _event("content_block_stop", index=index)
    ended = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    yield _event("message_delta", delta=ended, usage={"output_tokens": answer.output_tokens})
    yield _event("message_stop")


def _error(status: int, message: str) -> JsonObject:
    return {"type": "error", "error": {"type": _ERRORS.get(status, "api_error"), "message": message}}


ANTHROPIC_MESSAGES = Dialect(
    name="anthropic-messages", read=_read, whole=_whole, streamed=_streamed, error=_error
)
