"""The text of an answer as it comes, for those who watch the task now: a few pieces a second, kept nowhere.

Rule: whatever is lost here harms nothing. The finished answer is a step, and its text is told from there. A piece that
may end in the beginning of a known secret is told up to there; the rest comes with what follows.
"""

import asyncio

from chargehand.domain.known_secrets import taken_out_of, unfinished
from chargehand.domain.task import Task
from chargehand.domain.values import plain_text
from chargehand.service.attempts import Attempts

SECONDS_BETWEEN = 0.1
MAX_CHARACTERS = 16 * 1024
"""Of one piece; nobody reads faster."""
CUT_CHARACTERS = 1024
"""Of a longer piece so much more is looked through, and then left out at its end: a secret that was cut there need not
be known by its beginning."""


class Deltas:
    """What one request's answer says before it is complete."""

    def __init__(self, attempts: Attempts, task: Task, path: str) -> None:
        self._attempts = attempts
        self._task = task
        self._path = path
        self._pending: list[tuple[str, str]] = []
        self._kept: dict[str, str] = {}
        """Of each kind, the end of what came, which is not told yet."""
        self._timer: asyncio.TimerHandle | None = None
        self._has_told = False

    def take(self, kind: str, text: str) -> None:
        """A piece of `text` or `thinking`; told within SECONDS_BETWEEN, together with what comes till then."""
        self._pending.append((kind, text))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SECONDS_BETWEEN, self._tell)

    def _tell(self, *, goes_on: bool = True) -> None:
        self._timer = None
        pending, self._pending = self._pending, []
        for kind in ("thinking", "text"):
            text = self._kept.pop(kind, "") + "".join(piece for one, piece in pending if one == kind)
            end = unfinished(text, self._task.tenant) if goes_on else len(text)
            if end < len(text):
                self._kept[kind] = text[end:]
            if end:
                self._say(kind, text[:end])

    def _say(self, kind: str, text: str) -> None:
        self._has_told = True
        most = MAX_CHARACTERS + CUT_CHARACTERS
        clean = taken_out_of(text[:most], self._task.tenant)
        if len(text) > most:
            clean = clean[:-CUT_CHARACTERS]
        self._attempts.say(self._task, {"path": self._path, kind: plain_text(clean[:MAX_CHARACTERS])})

    def complete(self) -> None:
        """The answer is here: what is left is told at once."""
        if self._timer is not None:
            self._timer.cancel()
        if self._pending or self._kept:
            self._tell(goes_on=False)

    def broken_off(self) -> None:
        """No answer came of it: what was told of it counts no more, the request is made anew."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._pending.clear()
        self._kept.clear()
        if self._has_told:
            self._attempts.say(self._task, {"path": self._path, "restart": True})
