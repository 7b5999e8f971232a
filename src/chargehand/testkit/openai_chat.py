"""OpenAI's Chat Completions protocol: POST /v1/chat/completions."""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel

from chargehand.testkit.dialect import Answer, Asked, Dialect, JsonObject, frame, hash_of, pieces

# Any time will do, but it must be the same each time.
CREATED = 1_700_000_000

_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


class _Block(BaseModel):
    type: str
    text: str = ""


class _Message(BaseModel):
    role: str
    content: str | list[_Block] | None = None


class _Request(BaseModel):
    model: str
    messages: list[_Message]
    stream: bool = False


def _text(message: _Message) -> str:
    if isinstance(message.content, list):
        return "\n".join(block.text for block in message.content if block.type == "text")
    return message.content or ""


def _read(body: JsonObject, path: Mapping[str, str]) -> Asked:
    del path
    request = _Request.model_validate(body)
    users = [message for message in request.messages if message.role == "user"]
    system = [message for message in request.messages if message.role in {"system", "developer"}]
    return Asked(
        model=request.model,
        system="\n".join(_text(message) for message in system),
        prompt=_text(users[0]) if users else "",
        turn=sum(message.role == "assistant" for message in request.messages),
        is_streamed=request.stream,
        messages_hash=hash_of(body["messages"]),
    )


def _usage(answer: Answer) -> JsonObject:
    return {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": answer.output_tokens,
        "total_tokens": answer.input_tokens + answer.output_tokens,
    }


def _calls(answer: Answer) -> list[JsonObject]:
    return [
        {
            "id": call.id,
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments_text},
        }
        for call in answer.calls
    ]


def _finish(answer: Answer) -> str:
    return "tool_calls" if answer.calls else "stop"


def _whole(answer: Answer) -> JsonObject:
    message: JsonObject = {"role": "assistant", "content": answer.text, "refusal": None}
    if answer.thinking is not None:
        # No field of OpenAI's own, but what the servers that speak its protocol call it.
        message["reasoning_content"] = answer.thinking
    if answer.calls:
        message["tool_calls"] = _calls(answer)
    choice = {"index": 0, "message": message, "finish_reason": _finish(answer), "logprobs": None}
    return {
        "id": f"chatcmpl-{answer.name}",
        "object": "chat.completion",
        "created": CREATED,
        "model": answer.model,
        "choices": [choice],
        "usage": _usage(answer),
    }


def _streamed(answer: Answer) -> Iterator[bytes]:
    base: JsonObject = {
        "id": f"chatcmpl-{answer.name}",
        "object": "chat.completion.chunk",
        "created": CREATED,
        "model": answer.model,
    }

    def chunk(delta: JsonObject, finish: str | None = None) -> bytes:
        return frame({**base, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    yield chunk({"role": "assistant", "content": ""})
    for piece in pieces(answer.thinking or ""):
        yield chunk({"reasoning_content": piece})
    for piece in pieces(answer.text or ""):
        yield chunk({"content": piece})
    for index, call in enumerate(_calls(answer)):
        function: JsonObject = call["function"]
        yield chunk(
            {
                "tool_calls": [
                    {"index": index, **call, "function": {"name": function["name"], "arguments": ""}}
                ]
            }
        )
        for piece in pieces(function["arguments"]):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, _finish(answer))
    # Sent unasked, too: clients that did not ask for it pass over a chunk without choices.
    yield frame({**base, "choices": [], "usage": _usage(answer)})
    yield b"data: [DONE]\n\n"


def openai_error(status: int, message: str) -> JsonObject:
    """An error, as both of OpenAI's protocols tell it."""
    kind = _ERRORS.get(status, "server_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


OPENAI_CHAT = Dialect(name="openai-chat", read=_read, whole=_whole, streamed=_streamed, error=openai_error)
