"""The one event loop of a worker process, in a thread of its own, with the whole core opened in it.

Celery's threads and signal handlers talk to it from outside; many attempts wait for models in it at once.
"""

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any

import structlog

from chargehand.engine.fleet import FleetEngine

log = structlog.stdlib.get_logger("chargehand.worker")

Opener = Callable[[Sequence[str]], AbstractAsyncContextManager[FleetEngine]]
"""Opens the core and begins to carry attempts of the agents of these queues; ends both."""


@dataclass(slots=True)
class _Life:
    """A loop that runs, the engine in it, and the event that ends it."""

    pid: int
    opened: Future[FleetEngine] = field(default_factory=Future[FleetEngine])
    ended: Future[None] = field(default_factory=Future[None])
    loop: asyncio.AbstractEventLoop | None = None
    stopping: asyncio.Event | None = None


class WorkerProcess:
    """Starts the loop once in a process, whoever asks first; a forked child has a life of its own."""

    def __init__(self) -> None:
        self.opener: Opener | None = None
        self.run: Callable[[Coroutine[Any, Any, None]], None] = asyncio.run
        """Runs a coroutine to its end on a new loop."""
        self._life: _Life | None = None
        self._lock = threading.Lock()

    def start(self, queues: Sequence[str]) -> None:
        """Begin to carry attempts, unless that goes on already; raises what hinders it."""
        with self._lock:
            life = self._life
            if life is None or life.pid != os.getpid():
                life = self._life = _Life(pid=os.getpid())
                thread = threading.Thread(
                    target=self._live, args=(life, queues), name="chargehand", daemon=True
                )
                thread.start()
        life.opened.result()

    def raise_failure(self) -> None:
        """Raise what hindered the start, if anything did."""
        life = self._current()
        if life is not None and life.opened.done():
            life.opened.result()

    def heard(self, limit_seconds: float) -> None:
        """A message came: return once the rows were looked at, or after so long."""
        life = self._current()
        if life is None or life.loop is None:
            return
        looked = asyncio.run_coroutine_threadsafe(life.opened.result().heard(limit_seconds), life.loop)
        looked.result(limit_seconds + 5)

    def begin_stop(self) -> None:
        """Claim nothing more. The second time: wait for no step to end."""
        life = self._current()
        if life is None or life.loop is None or life.stopping is None or not life.opened.done():
            return
        engine = life.opened.result()
        # At a second signal the first has been heard.
        life.loop.call_soon_threadsafe(engine.hurry if life.stopping.is_set() else engine.begin_stop)
        life.loop.call_soon_threadsafe(life.stopping.set)

    def stop(self) -> None:
        """Let running steps end within the grace, give the rest back, close the core."""
        life = self._current()
        if life is None:
            return
        if life.loop is not None and life.stopping is not None and not life.loop.is_closed():
            life.loop.call_soon_threadsafe(life.stopping.set)
        life.ended.result()

    def _current(self) -> _Life | None:
        life = self._life
        return life if life is not None and life.pid == os.getpid() else None

    def _live(self, life: _Life, queues: Sequence[str]) -> None:
        try:
            self.run(self._main(life, queues))
        except BaseException as error:
            if not life.opened.done():
                life.opened.set_exception(error)
            else:
                log.exception("the worker's loop ended")
        finally:
            life.ended.set_result(None)

    async def _main(self, life: _Life, queues: Sequence[str]) -> None:
        if self.opener is None:
            raise RuntimeError("no opener: chargehand.app.worker was not imported")
        life.loop, life.stopping = asyncio.get_running_loop(), asyncio.Event()
        async with self.opener(queues) as engine:
            life.opened.set_result(engine)
            await life.stopping.wait()


PROCESS = WorkerProcess()
