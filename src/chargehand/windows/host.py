"""The service inside the process that Windows started: runs until Windows asks for the end, then stops gracefully.

Nothing here needs Windows: what it is told and what it tells goes through `Lifecycle`.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from logging.handlers import RotatingFileHandler
from pathlib import Path

import structlog

from chargehand.windows.lifecycle import Lifecycle

log = structlog.stdlib.get_logger("chargehand.windows")

TICK_SECONDS = 4.0
"""How often Windows is told that a start or a stop goes on; less than a third of the hint that it is given."""
LOG_BYTES, LOG_FILES = 10 * 1024 * 1024, 5
MAX_EVENT_CHARACTERS = 30_000
"""Windows takes 31,839 of an entry's text."""
FAILED = 1

Serve = Callable[[asyncio.Event, Callable[[str], None]], Awaitable[None]]
"""Serves until the event is set; calls with its address once it answers."""


class Host:
    """Carries one life of the service. `control` may be called from any thread, `run` from one."""

    def __init__(
        self,
        lifecycle: Lifecycle,
        serve: Serve,
        exit_code_of: Callable[[Exception], int],
        tick_seconds: float = TICK_SECONDS,
    ) -> None:
        self._lifecycle = lifecycle
        self._serve = serve
        self._exit_code_of = exit_code_of
        self._tick_seconds = tick_seconds
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._is_asked = False

    def control(self, code: int) -> None:
        """Windows asks for something; what it is not told that we accept, it does not ask."""
        if not self._lifecycle.asked(code):
            return
        with self._lock:
            self._is_asked = True
            if self._loop is not None and self._stopping is not None:
                self._loop.call_soon_threadsafe(self._stopping.set)

    def run(self) -> int:
        """Serve until asked to stop; the exit code that Windows was told. Raises nothing that went wrong in there."""
        self._lifecycle.starting()
        try:
            asyncio.run(self._live())
            code = 0 if self._is_asked else FAILED
            if code:
                log.error("the service ended by itself")
        except Exception as error:
            log.exception("the service failed")
            code = self._exit_code_of(error) or FAILED
        self._lifecycle.stopped(code)
        return code

    async def _live(self) -> None:
        with self._lock:
            self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
            if self._is_asked:
                self._stopping.set()
        serving = asyncio.ensure_future(self._serve(self._stopping, self._answers))
        try:
            while not serving.done():
                await asyncio.wait((serving,), timeout=self._tick_seconds)
                if not serving.done():
                    self._lifecycle.goes_on()
            serving.result()
        finally:
            with self._lock:
                self._loop = None

    def _answers(self, url: str) -> None:
        self._lifecycle.running()
        log.info("the service answers", url=url)


def log_file(folder: Path) -> logging.Handler:
    """Where the log of a service goes, which has no terminal: files that replace each other, in UTF-8."""
    folder.mkdir(parents=True, exist_ok=True)
    return RotatingFileHandler(
        folder / "service.log", maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8", delay=True
    )


class EventLogHandler(logging.Handler):
    """Tells Windows' event log what went wrong, in one entry each; the log file has the rest."""

    def __init__(self, write: Callable[[str], object]) -> None:
        super().__init__(logging.ERROR)
        self._write = write

    def emit(self, record: logging.LogRecord) -> None:
        """Write an entry; one that cannot be written is told as logging tells such things."""
        try:
            self._write(self.format(record)[:MAX_EVENT_CHARACTERS])
        except Exception:  # noqa: BLE001 - a log that cannot be written must stop nothing
            self.handleError(record)
