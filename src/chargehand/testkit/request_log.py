"""The log of a model server: one line per request, written when it has ended."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and how it ended: `answered`, `refused`, `gone` or `fault: <kind>`."""

    time: str
    protocol: str
    model: str | None
    conversation: int | None
    turn: int | None
    is_streamed: bool
    messages_hash: str | None
    body_bytes: int
    traceparent: str | None
    """The header of that name: the trace that the asking side says the request belongs to."""
    ended: str
    status: int | None


class RequestLog:
    """Keeps the exchanges and, where a file is named, appends each to it."""

    def __init__(self, file: Path | None = None) -> None:
        self._exchanges: list[Exchange] = []
        self._file = file
        if file is not None:
            # At once, so that a log that cannot be written is told at the start and not at the first request.
            file.open("a", encoding="utf-8").close()

    @property
    def exchanges(self) -> Sequence[Exchange]:
        """All so far, in the order in which they ended."""
        return self._exchanges

    def add(self, exchange: Exchange) -> None:
        """Note one. Written line by line, so that it can be followed and is whole after a kill."""
        self._exchanges.append(exchange)
        if self._file is not None:
            with self._file.open("a", encoding="utf-8", newline="\n") as out:
                out.write(json.dumps(asdict(exchange), ensure_ascii=False) + "\n")
