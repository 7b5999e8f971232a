"""What the protocols have in common: what was asked, what is answered, and how a stream is written."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

JsonObject: TypeAlias = dict[str, Any]

MIN_PIECE, MAX_PIECE = 16, 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request, as far as a script looks at it."""

    model: str
    system: str
    prompt: str
    turn: int
    is_streamed: bool
    messages_hash: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool call; `has_bad_json` when its arguments are to be no JSON."""

    id: str
    name: str
    arguments: Mapping[str, Any]
    has_bad_json: bool = False

    @property
    def arguments_text(self) -> str:
        """The arguments as the protocols that carry them as text have them."""
        text = compact(self.arguments)
        # Cut short, which is what a model that runs out of tokens leaves behind.
        return text[:-1] if self.has_bad_json else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One turn of the model, ready to be written in a protocol. `name` is unique to conversation and turn."""

    name: str
    model: str
    text: str | None
    thinking: str | None
    calls: Sequence[Call]
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """A protocol: how its requests are read and its answers are written."""

    name: str
    read: Callable[[JsonObject, Mapping[str, str]], Asked]
    whole: Callable[[Answer], JsonObject]
    streamed: Callable[[Answer], Iterator[bytes]]
    error: Callable[[int, str], JsonObject]


def compact(value: object) -> str:
    """JSON without spaces."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def frame(data: JsonObject, *, event: str | None = None) -> bytes:
    """One server-sent event."""
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {compact(data)}\n\n".encode()


def pieces(text: str) -> Iterator[str]:
    """The text as a stream brings it: in several pieces, whole characters each."""
    size = min(MAX_PIECE, max(MIN_PIECE, len(text) // 8))
    for start in range(0, len(text), size):
        yield text[start : start + size]


def hash_of(value: object) -> str:
    """The same for the same JSON, however its keys are ordered."""
    canonical = json.dumps(value, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
