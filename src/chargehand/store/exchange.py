"""Lines between processes, as a port: what a message is carried by, and what is in it.

Rule: what comes over a line is not trusted. A message that is not of the form written here is None.
"""

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, cast

import orjson

from chargehand.domain.values import JsonObject

Hint = tuple[str, str]
"""A topic and its payload."""


class LineLost(Exception):
    """The line to the other processes is gone, or could not be made."""


class Line(ABC):
    """A connection to the others, until it is lost."""

    most_bytes: int
    """How long one message may be."""

    @abstractmethod
    async def send(self, text: bytes) -> None:
        """To every process, this one too. LineLost."""

    @abstractmethod
    def heard(self) -> AsyncIterator[bytes]:
        """What comes in, for as long as the line holds; LineLost after it."""

    async def send_to(self, process: str, text: bytes) -> None:
        """To one process, where `Exchange.carries_said`; elsewhere it is LineLost."""
        raise LineLost(f"this line carries nothing to one process alone: {len(text)} bytes for {process}")


class Exchange(ABC):
    """Where lines come from; one adapter each for Redis and PostgreSQL."""

    name: str
    carries_said: bool
    """Whether it also takes what models are saying, which is much."""

    @abstractmethod
    def line(self, process: str) -> AbstractAsyncContextManager[Line]:
        """A new line. LineLost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What one process tells: hints to all, or something said about one topic to one."""

    sender: str
    hints: Sequence[Hint]
    said: tuple[str, JsonObject] | None


def hints_message(sender: str, pending: Iterable[Hint], most_bytes: int) -> tuple[list[Hint], bytes]:
    """As many of the hints as one message holds, and that message."""
    told: defaultdict[str, list[str]] = defaultdict(list)
    taken: list[Hint] = []
    room = most_bytes - 100
    for topic, payload in pending:
        room -= len(orjson.dumps(payload)) + 1
        room -= 0 if topic in told else len(topic) + 8
        if room < 0:
            break
        told[topic].append(payload)
        taken.append((topic, payload))
    return taken, orjson.dumps({"from": sender, "told": told})


def said_message(sender: str, topic: str, said: JsonObject) -> bytes:
    """A message about one topic."""
    return orjson.dumps({"from": sender, "topic": topic, "said": said})


def read_message(text: bytes) -> Message | None:
    """What a process wrote; None for what none of ours did."""
    try:
        loaded: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(loaded, dict):
        return None
    content = cast("dict[str, Any]", loaded)
    sender, topic, said, told = (content.get(name) for name in ("from", "topic", "said", "told"))
    if not isinstance(sender, str):
        return None
    hints = _hints(cast("Mapping[str, Any]", told)) if isinstance(told, dict) else ()
    is_said = isinstance(topic, str) and isinstance(said, dict)
    return Message(
        sender=sender,
        hints=hints,
        said=(cast("str", topic), cast("JsonObject", said)) if is_said else None,
    )


def _hints(told: Mapping[str, Any]) -> list[Hint]:
    lists = ((topic, cast("list[Any]", given)) for topic, given in told.items() if isinstance(given, list))
    return [(topic, one) for topic, given in lists for one in given if isinstance(one, str)]
