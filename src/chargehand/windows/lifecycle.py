"""What Windows is told of the service while it starts, runs and stops; pure.

Rule: while a start or a stop is under way each report has a higher checkpoint than the one before, else Windows takes
the service for hung; a state that was left is never reported again.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum


class State(IntEnum):
    """As Windows numbers them."""

    STOPPED = 1
    START_PENDING = 2
    STOP_PENDING = 3
    RUNNING = 4


class Control(IntEnum):
    """What Windows, or an operator through it, asks for."""

    STOP = 1
    INTERROGATE = 4
    SHUTDOWN = 5
    PRESHUTDOWN = 15


ACCEPT_STOP, ACCEPT_PRESHUTDOWN = 0x1, 0x100
SPECIFIC_ERROR = 1066
"""The Windows error that says: the service's own exit code has more."""
WAIT_HINT_MILLISECONDS = 15_000
"""How long Windows shall wait for the next report; several are made in that time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One report of the status."""

    state: State
    accepted: int = 0
    exit_code: int = 0
    """Not 0: it failed, and Windows does what its recovery actions say."""
    checkpoint: int = 0

    @property
    def wait_hint_milliseconds(self) -> int:
        """How long until the next one, at the latest."""
        return WAIT_HINT_MILLISECONDS if self.checkpoint else 0


class Lifecycle:
    """One life of the service; `tell` gives a report to Windows. Called from the loop's thread and Windows' own."""

    def __init__(self, tell: Callable[[Report], None]) -> None:
        self._tell = tell
        # Held while Windows is told, so that reports arrive in order; Windows may ask from within.
        self._lock = threading.RLock()
        self._last = Report(state=State.STOPPED)

    @property
    def state(self) -> State:
        """Where it stands."""
        return self._last.state

    def starting(self) -> None:
        """It begins to start."""
        self._move(State.START_PENDING, State.STOPPED)

    def running(self) -> None:
        """It answers; from now on it can be asked to stop."""
        self._move(State.RUNNING, State.START_PENDING)

    def goes_on(self) -> None:
        """A start or a stop is still under way."""
        with self._lock:
            if self._last.checkpoint:
                self._report(Report(state=self._last.state, checkpoint=self._last.checkpoint + 1))

    def asked(self, control: int) -> bool:
        """Windows asks; whether it is the first time that it wants the service to stop."""
        with self._lock:
            if control == Control.INTERROGATE:
                self._report(self._last)
            wants_stop = control in (Control.STOP, Control.SHUTDOWN, Control.PRESHUTDOWN)
            if not wants_stop or self._last.state is not State.RUNNING:
                return False
            self._report(Report(state=State.STOP_PENDING, checkpoint=1))
            return True

    def stopped(self, exit_code: int = 0) -> None:
        """It has ended; nothing is reported after this."""
        with self._lock:
            if self._last.state is not State.STOPPED:
                self._report(Report(state=State.STOPPED, exit_code=exit_code))

    def _move(self, to: State, of: State) -> None:
        with self._lock:
            if self._last.state is of:
                accepted = ACCEPT_STOP | ACCEPT_PRESHUTDOWN if to is State.RUNNING else 0
                self._report(Report(state=to, accepted=accepted, checkpoint=int(to is State.START_PENDING)))

    def _report(self, report: Report) -> None:
        self._last = report
        self._tell(report)


@dataclass(slots=True)
class Progress:
    """Whether a start or a stop that somebody waits for still goes on, by the checkpoints of its reports.

    As Microsoft advises: as long as the checkpoint grows within the hint, it is alive, however long it takes.
    """

    checkpoint: int = -1
    moved_at: float = 0.0

    def hangs(self, now: float, checkpoint: int, wait_hint_milliseconds: int) -> bool:
        """Look at a report. True when the checkpoint has not grown for as long as the hint promised, at least 10 s."""
        if checkpoint != self.checkpoint:
            self.checkpoint, self.moved_at = checkpoint, now
        return now - self.moved_at > max(10.0, wait_hint_milliseconds / 1000)
