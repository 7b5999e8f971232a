"""How a watched tree of tasks is shown: live on a terminal, as lines in a log, as JSON lines to a program."""

import sys
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.tree import Tree

from chargehand.cli.exits import say
from chargehand.cli.lines import clock_time, json_line, line_of, seconds_text
from chargehand.cli.progress import Progress, TaskView
from chargehand.cli.tree import draw, marks_for
from chargehand.wire.rest import EventBody

REFRESH_SECONDS = 0.25
QUIET_SECONDS = 20.0
"""A log that says nothing for so long is told what is under way."""


@dataclass(slots=True)
class Beside:
    """What goes on beside a watched tree: it hears of the tree's events, and what it tells is shown among them."""

    tell: Callable[[str], None] = say
    hear: Callable[[EventBody, str], None] = lambda _event, _agent_id: None


class Show(Protocol):
    """What is told of a watched tree; `progress` has learnt of an event before the show is told."""

    def event(self, event: EventBody, agent_id: str) -> None:
        """Something happened."""
        ...

    def trouble(self, text: str) -> None:
        """The connection is lost, or something beside the tasks went wrong."""
        ...

    def tick(self) -> None:
        """Time passed; called every REFRESH_SECONDS."""
        ...

    def close(self) -> None:
        """Nothing more will be told."""
        ...

    def aside(self) -> AbstractContextManager[None]:
        """While this is open a person may be asked something."""
        ...


class LiveShow:
    """A tree that is drawn anew in place, several times a second."""

    def __init__(self, progress: Progress, console: Console) -> None:
        self._progress = progress
        self._console = console
        self._marks = marks_for(console.encoding)
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop")
        self._live.start()
        self._is_aside = False

    def event(self, event: EventBody, agent_id: str) -> None:
        """The next tick shows it."""

    def trouble(self, text: str) -> None:
        self._console.print(text, style="yellow", markup=False, highlight=False)

    def tick(self) -> None:
        if not self._is_aside:
            height = max(3, self._console.size.height - 1)
            self._live.update(self._drawn(height), refresh=True)

    def close(self) -> None:
        # What stays on the screen is the whole tree, however long.
        self._live.vertical_overflow = "visible"
        self._live.update(self._drawn(10**6), refresh=True)
        self._live.stop()

    @contextmanager
    def aside(self) -> Generator[None]:
        self._is_aside = True
        self._live.stop()
        try:
            yield
        finally:
            self._is_aside = False
            self._live.start()

    def _drawn(self, height: int) -> Tree:
        return draw(self._progress, now=datetime.now(UTC), height=height, marks=self._marks)


class LineShow:
    """Lines with the time, for logs and pipes."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._last = time.monotonic()

    def event(self, event: EventBody, agent_id: str) -> None:
        line = line_of(event, agent_id)
        if line is not None:
            self._print(line)

    def trouble(self, text: str) -> None:
        say(text)

    def tick(self) -> None:
        if time.monotonic() - self._last < QUIET_SECONDS:
            return
        now = datetime.now(UTC)
        for task in self._progress.walk():
            for doing in _under_way(self._progress, task, now):
                self._print(f"{clock_time(now)}  {task.agent_id:<22} still at {doing}")
        self._last = time.monotonic()

    def close(self) -> None:
        """Lines need no end."""

    @contextmanager
    def aside(self) -> Generator[None]:
        yield

    def _print(self, line: str) -> None:
        self._last = time.monotonic()
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


class JsonShow:
    """Every event as one JSON object a line."""

    def event(self, event: EventBody, agent_id: str) -> None:
        sys.stdout.write(json_line(event.model_dump(mode="json")) + "\n")
        sys.stdout.flush()

    def trouble(self, text: str) -> None:
        say(text)

    def tick(self) -> None:
        """Programs have clocks of their own."""

    def close(self) -> None:
        """Lines need no end."""

    @contextmanager
    def aside(self) -> Generator[None]:
        yield


def _under_way(progress: Progress, task: TaskView, now: datetime) -> list[str]:
    at = progress.service_time(now)
    return [
        f"{step.name} {step.summary} ({seconds_text((at - step.started_at).total_seconds())})"
        for step in task.running.values()
    ]


def is_terminal() -> bool:
    """Whether standard output is a terminal that can be drawn on."""
    return sys.stdout.isatty() and not Console().is_dumb_terminal


def show_for(progress: Progress, *, as_json: bool) -> Show:
    """The way that fits where standard output goes."""
    if as_json:
        return JsonShow()
    return LiveShow(progress, Console()) if is_terminal() else LineShow(progress)
