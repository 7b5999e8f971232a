"""Who, in which process, watches what a task's model is saying: so that only that travels, and only to them.

A process tells the others what it watches when it begins and every few beats; what is not told again is
forgotten. Whether somebody watches is thus known without asking, which the model's answer could not wait for.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from time import monotonic

from chargehand.store.bus import BACK, BEAT, BEAT_SECONDS, Bus

WATCHING = "watching"
"""Topic of who watches what: process, a space, task id."""
BEATS_BETWEEN = 3
FORGOTTEN_SECONDS = 3 * BEATS_BETWEEN * BEAT_SECONDS
MOST_KNOWN = 20_000
"""Tasks watched elsewhere that are kept in mind; others are followed by their rows alone."""


class Onlookers:
    """Tasks that are watched here, and what is known of those watched elsewhere."""

    def __init__(self, bus: Bus, now: Callable[[], float] = monotonic) -> None:
        self._bus = bus
        self._now = now
        self._here: Counter[str] = Counter()
        self._elsewhere: defaultdict[str, dict[str, float]] = defaultdict(dict)
        self._beats = 0
        if bus.carries_said:
            bus.hear(WATCHING, self._take)
            bus.hear(BEAT, self._beat)
            bus.hear(BACK, self._tell_all)

    @contextmanager
    def looking(self, topic: str) -> Generator[None, None, None]:
        """The topic is watched here for as long as the block."""
        self._here[topic] += 1
        if self._bus.carries_said:
            self._tell(topic)
        try:
            yield
        finally:
            self._here[topic] -= 1
            if not self._here[topic]:
                del self._here[topic]

    def of(self, topic: str) -> Sequence[str]:
        """The other processes in which it is watched, as far as is known."""
        known = self._elsewhere.get(topic)
        if known is None:
            return ()
        oldest = self._now() - FORGOTTEN_SECONDS
        return [process for process, at in known.items() if at >= oldest]

    def _tell(self, topic: str) -> None:
        self._bus.publish(WATCHING, f"{self._bus.process} {topic}")

    def _tell_all(self, nothing: str) -> None:
        del nothing
        for topic in self._here:
            self._tell(topic)

    def _take(self, payload: str) -> None:
        process, _, topic = payload.partition(" ")
        if process == self._bus.process:
            return
        if topic in self._elsewhere or len(self._elsewhere) < MOST_KNOWN:
            self._elsewhere[topic][process] = self._now()

    def _beat(self, nothing: str) -> None:
        self._beats += 1
        if self._beats % BEATS_BETWEEN:
            return
        self._tell_all(nothing)
        oldest = self._now() - FORGOTTEN_SECONDS
        for topic, known in tuple(self._elsewhere.items()):
            left = {process: at for process, at in known.items() if at >= oldest}
            if left:
                self._elsewhere[topic] = left
            else:
                del self._elsewhere[topic]
