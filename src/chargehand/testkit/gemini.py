"""Gemini's protocol: POST /v1beta/models/{model}:generateContent and :streamGenerateContent."""

from collections.abc import Iterator, Mapping
from itertools import chain

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from chargehand.errors import InvalidInput
from chargehand.testkit.dialect import Answer, Asked, Dialect, JsonObject, frame, hash_of, pieces

_METHODS = {"generateContent": False, "streamGenerateContent": True}

_ERRORS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


class _Part(BaseModel):
    text: str | None = None


class _Content(BaseModel):
    role: str = "user"
    parts: list[_Part] = Field(default_factory=list[_Part])

    @property
    def text(self) -> str:
        return "\n".join(part.text for part in self.parts if part.text is not None)


class _Request(BaseModel):
    # The protocol takes both `systemInstruction` and `system_instruction`.
    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True)

    contents: list[_Content]
    system_instruction: _Content = _Content()


def _read(body: JsonObject, path: Mapping[str, str]) -> Asked:
    if path["method"] not in _METHODS:
        raise InvalidInput(f"no method {path['method']!r}: this server knows {' and '.join(_METHODS)}")
    request = _Request.model_validate(body)
    return Asked(
        model=path["model"],
        system=request.system_instruction.text,
        prompt=next((content.text for content in request.contents if content.role == "user"), ""),
        turn=sum(content.role == "model" for content in request.contents),
        is_streamed=_METHODS[path["method"]],
        messages_hash=hash_of(body["contents"]),
    )


def _calls(answer: Answer) -> Iterator[JsonObject]:
    for call in answer.calls:
        # Here the arguments are no text: those that are to be no JSON become a value of the wrong type.
        given = call.arguments_text if call.has_bad_json else dict(call.arguments)
        yield {"functionCall": {"id": call.id, "name": call.name, "args": given}}


def _thought(text: str) -> JsonObject:
    return {"text": text, "thought": True}


def _response(answer: Answer, parts: list[JsonObject], *, is_last: bool) -> JsonObject:
    candidate: JsonObject = {"index": 0, "content": {"role": "model", "parts": parts}}
    response: JsonObject = {
        "candidates": [candidate],
        "modelVersion": answer.model,
        "responseId": f"response_{answer.name}",
    }
    if is_last:
        candidate["finishReason"] = "STOP"
        response["usageMetadata"] = {
            "promptTokenCount": answer.input_tokens,
            "candidatesTokenCount": answer.output_tokens,
            "totalTokenCount": answer.input_tokens + answer.output_tokens,
        }
    return response


def _whole(answer: Answer) -> JsonObject:
    parts: list[JsonObject] = []
    if answer.thinking is not None:
        parts.append(_thought(answer.thinking))
    if answer.text is not None:
        parts.append({"text": answer.text})
    return _response(answer, [*parts, *_calls(answer)], is_last=True)


def _streamed(answer: Answer) -> Iterator[bytes]:
    thoughts = (_thought(piece) for piece in pieces(answer.thinking or ""))
    texts: Iterator[JsonObject] = ({"text": piece} for piece in pieces(answer.text or ""))
    for part in chain(thoughts, texts, _calls(answer)):
        yield frame(_response(answer, [part], is_last=False))
    yield frame(_response(answer, [{"text": ""}], is_last=True))


def _error(status: int, message: str) -> JsonObject:
    return {"error": {"code": status, "message": message, "status": _ERRORS.get(status, "INTERNAL")}}


GEMINI = Dialect(name="gemini", read=_read, whole=_whole, streamed=_streamed, error=_error)
