"""Hints that something changed, within this process: whoever waits looks at the rows again.

Rule: a hint carries no truth. Lost, late or double, nothing breaks; a waiter always re-reads.
"""

import asyncio
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager


class Signals:
    """Topics (task ids) and who waits for them."""

    def __init__(self) -> None:
        self._listeners: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def notify(self, topic: str) -> None:
        """Wake everyone who listens to the topic."""
        for listener in self._listeners.get(topic, ()):
            listener.set()

    @contextmanager
    def listen(self, topic: str) -> Generator[asyncio.Event, None, None]:
        """An event that each `notify` sets; the listener clears it before it reads."""
        heard = asyncio.Event()
        self._listeners[topic].add(heard)
        try:
            yield heard
        finally:
            self._listeners[topic].discard(heard)
            if not self._listeners[topic]:
                del self._listeners[topic]
