"""Hints that something changed, from this process and by the bus from others: whoever waits looks at the rows again.

Rule: a hint carries no truth. Lost, late or double, nothing breaks; a waiter always re-reads. What is said
beside the rows, such as a text that is still being written, may be lost likewise.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Generator
from contextlib import contextmanager, nullcontext

from chargehand.domain.values import JsonObject
from chargehand.store.bus import BACK, CHANGED, Bus
from chargehand.store.onlookers import Onlookers

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

    def __init__(self, bus: Bus | None = None) -> None:
        self._listeners: defaultdict[str, set[Heard]] = defaultdict(set)
        self.bus = bus or Bus()
        self._onlookers = Onlookers(self.bus)
        self.bus.hear(CHANGED, self._wake)
        self.bus.hear(BACK, self._wake_all)
        self.bus.on_said = self._hear_said

    def notify(self, topic: str) -> None:
        """Wake everyone who listens to the topic."""
        self.bus.publish(CHANGED, topic)

    def _wake(self, topic: str) -> None:
        for listener in self._listeners.get(topic, ()):
            listener.set()

    def _wake_all(self, nothing: str) -> None:
        """Hints were missed: everybody looks."""
        del nothing
        for topic in self._listeners:
            self._wake(topic)

    def is_watched(self, topic: str) -> bool:
        """Whether a listener, here or in another process, takes what is said beside the rows."""
        return self._is_watched_here(topic) or bool(self._onlookers.of(topic))

    def _is_watched_here(self, topic: str) -> bool:
        return any(listener.takes_said for listener in self._listeners.get(topic, ()))

    def say(self, topic: str, told: JsonObject) -> None:
        """Tell the listeners that take it something that is in no row."""
        self._hear_said(topic, told)
        for process in self._onlookers.of(topic):
            self.bus.say(process, topic, told)

    def _hear_said(self, topic: str, told: JsonObject) -> None:
        for listener in self._listeners.get(topic, ()):
            if listener.takes_said:
                listener.say(told)

    @contextmanager
    def listen(self, topic: str, *, takes_said: bool = False) -> Generator[Heard, None, None]:
        """An event that each `notify` sets; the listener clears it before it reads."""
        heard = Heard(takes_said=takes_said)
        self._listeners[topic].add(heard)
        try:
            with self._onlookers.looking(topic) if takes_said else nullcontext():
                yield heard
        finally:
            self._listeners[topic].discard(heard)
            if not self._listeners[topic]:
                del self._listeners[topic]
