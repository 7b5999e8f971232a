"""Hints that something changed, within this process: whoever waits looks at the rows again.

Rule: a hint carries no truth. Lost, late or double, nothing breaks; a waiter always re-reads. What is said
beside the rows, such as a text that is still being written, may be lost likewise.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Generator
from contextlib import contextmanager

from chargehand.domain.values import JsonObject

MAX_SAID = 100
"""What one listener has not taken yet; of more than that the oldest is dropped."""


class Heard(asyncio.Event):
    """What a listener waits for. `rows_changed`: the rows are to be read, not only what was said beside them."""

    def __init__(self, *, takes_said: bool) -> None:
        super().__init__()
        self.rows_changed = False
        self.takes_said = takes_said
        self._said: deque[JsonObject] = deque(maxlen=MAX_SAID)

    def set(self) -> None:
        self.rows_changed = True
        super().set()

    def clear(self) -> None:
        self.rows_changed = False
        super().clear()

    def say(self, told: JsonObject) -> None:
        """Wake the listener with something that is in no row."""
        self._said.append(told)
        super().set()

    def said(self) -> list[JsonObject]:
        """What was said since the last call."""
        taken = list(self._said)
        self._said.clear()
        return taken


class Signals:
    """Topics (task ids) and who waits for them."""

    def __init__(self) -> None:
        self._listeners: defaultdict[str, set[Heard]] = defaultdict(set)

    def notify(self, topic: str) -> None:
        """Wake everyone who listens to the topic."""
        for listener in self._listeners.get(topic, ()):
            listener.set()

    def is_watched(self, topic: str) -> bool:
        """Whether a listener takes what is said beside the rows."""
        return any(listener.takes_said for listener in self._listeners.get(topic, ()))

    def say(self, topic: str, told: JsonObject) -> None:
        """Tell the listeners that take it something that is in no row."""
        for listener in self._listeners.get(topic, ()):
            if listener.takes_said:
                listener.say(told)

    @contextmanager
    def listen(self, topic: str, *, takes_said: bool = False) -> Generator[Heard, None, None]:
        """An event that each `notify` sets; the listener clears it before it reads."""
        heard = Heard(takes_said=takes_said)
        self._listeners[topic].add(heard)
        try:
            yield heard
        finally:
            self._listeners[topic].discard(heard)
            if not self._listeners[topic]:
                del self._listeners[topic]
