"""The text of an answer as it comes, for those who watch the task now: a few pieces a second, kept nowhere.

Rule: whatever is lost here harms nothing. The finished answer is a step, and its text is told from there.
"""

import asyncio

from chargehand.domain.values import JsonObject, plain_text
from chargehand.runtimes.base import Hands

SECONDS_BETWEEN = 0.1
MAX_CHARACTERS = 16 * 1024
"""Of one piece; nobody reads faster."""


class Deltas:
    """What one request's answer says before it is complete."""

    def __init__(self, hands: Hands, path: str) -> None:
        self._hands = hands
        self._path = path
        self._pending: list[tuple[str, str]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._has_told = False

    def take(self, kind: str, text: str) -> None:
        """A piece of `text` or `thinking`; told within SECONDS_BETWEEN, together with what comes till then."""
        self._pending.append((kind, text))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SECONDS_BETWEEN, self._tell)

    def _tell(self) -> None:
        self._timer = None
        pending, self._pending = self._pending, []
        for kind in ("thinking", "text"):
            text = "".join(piece for one, piece in pending if one == kind)
            if text:
                self._say({kind: plain_text(text[:MAX_CHARACTERS])})

    def _say(self, told: JsonObject) -> None:
        self._has_told = True
        self._hands.attempts.say(self._hands.task, {"path": self._path, **told})

    def complete(self) -> None:
        """The answer is here: what is left is told at once."""
        if self._timer is not None:
            self._timer.cancel()
            self._tell()

    def broken_off(self) -> None:
        """No answer came of it: what was told of it counts no more, the request is made anew."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._pending.clear()
        if self._has_told:
            self._say({"restart": True})
