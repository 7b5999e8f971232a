"""How large the messages of a conversation are, and how one is made smaller: clipped, elided, told as text.

Rule: everything here follows from the messages alone, so that a replay comes to the same request byte for byte.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    SystemPromptPart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

BYTES_PER_TOKEN = 3
"""English has four and more, code three to four, other scripts about three: this errs towards too many tokens."""
PART_TOKENS = 12
"""What the protocol adds to each part: its role, its name, its id."""
SHORT_CHARACTERS = 400
"""A result of this length is not worth a note in its place."""
READS = frozenset({"Read", "Glob", "Grep"})


def text_tokens(text: str) -> int:
    """What a text is taken to be in tokens: one for each three bytes of UTF-8, rounded up."""
    length = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-length // BYTES_PER_TOKEN)


def message_tokens(message: ModelMessage) -> int:
    """What a message is taken to be in tokens."""
    return sum(PART_TOKENS + text_tokens(part_text(part)) for part in message.parts)


def part_text(part: ModelRequestPart | ModelResponsePart) -> str:
    """The text that a part brings into the request."""
    match part:
        case ToolCallPart():
            return f"{part.tool_name} {part.args_as_json_str()}"
        case ToolReturnPart():
            return part.model_response_str()
        case ThinkingPart():
            return f"{part.content}{part.signature or ''}"
        case TextPart() | SystemPromptPart():
            return part.content
        case UserPromptPart():
            return part.content if isinstance(part.content, str) else str(part.content)
        case _:
            return str(part)


def clipped(text: str, most_tokens: int, what: str = "the middle was cut to fit") -> str:
    """The text, or its beginning and end with a note between when it has more tokens than that."""
    if text_tokens(text) <= most_tokens:
        return text
    # A character has up to four bytes; what is kept is measured in characters of this text.
    keep = max(200, len(text) * most_tokens // text_tokens(text) - 100)
    head, tail = keep * 2 // 3, keep // 3
    return f"{text[:head]}\n[… {len(text) - head - tail:,} characters: {what} …]\n{text[-tail:]}"


def without_giants(message: ModelMessage, most_tokens: int) -> ModelMessage:
    """The message with its tool results cut so that they have together about so many tokens at most."""
    results = [part for part in message.parts if isinstance(part, ToolReturnPart)]
    if not results or sum(text_tokens(part_text(part)) for part in results) <= most_tokens:
        return message
    share = most_tokens // len(results)
    what = "cut to fit the model's context; read a part of it"
    return _with_results(message, lambda part: clipped(part_text(part), share, what))


def elided(message: ModelMessage, calls: Mapping[str, ToolCallPart]) -> ModelMessage:
    """The message with a line in place of each long tool result: what was there, and how to get it again."""
    return _with_results(message, lambda part: _note(part, calls.get(part.tool_call_id)))


def _note(part: ToolReturnPart, call: ToolCallPart | None) -> str:
    text = part_text(part)
    if len(text) <= SHORT_CHARACTERS:
        return text
    arguments = call.args_as_json_str() if call is not None else ""
    asked = arguments if len(arguments) <= 120 else f"{arguments[:120]}…"
    again = (
        "Call it again to see it."
        if part.tool_name in READS
        else "It was done: look at what it left instead of doing it again."
    )
    return (
        f"[Left out to save room: {len(text):,} characters that {part.tool_name} {asked} returned. {again}]"
    )


def _with_results(message: ModelMessage, content: Callable[[ToolReturnPart], str]) -> ModelMessage:
    if not isinstance(message, ModelRequest):
        return message
    parts = [
        replace(part, content=content(part)) if isinstance(part, ToolReturnPart) else part
        for part in message.parts
    ]
    return replace(message, parts=parts)


def calls_by_id(message: ModelMessage) -> dict[str, ToolCallPart]:
    """The tool calls of an answer."""
    return {part.tool_call_id: part for part in message.parts if isinstance(part, ToolCallPart)}


def told(messages: Sequence[ModelMessage], most_tokens: int) -> str:
    """The messages as text in so many tokens at most: each part is cut shorter until all have a place."""
    lines = [_line(part) for message in messages for part in message.parts]
    share = max(60, most_tokens)
    while True:
        text = "\n\n".join(clipped(line, share) for line in lines)
        if text_tokens(text) <= most_tokens or share <= 60:
            return clipped(text, most_tokens)
        share //= 2


def _line(part: ModelRequestPart | ModelResponsePart) -> str:
    match part:
        case ToolCallPart():
            return f"AGENT CALLS {part_text(part)}"
        case ToolReturnPart():
            return f"{part.tool_name} RETURNS {part_text(part)}"
        case TextPart() | ThinkingPart():
            return f"AGENT: {part.content}"
        case _:
            return f"USER: {part_text(part)}"


def is_answer(message: ModelMessage) -> bool:
    """Whether the model said it."""
    return isinstance(message, ModelResponse)
