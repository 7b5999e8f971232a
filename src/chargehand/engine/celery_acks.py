"""Acknowledges wake-ups in the thread that the broker's connection belongs to, and wakes that thread for it.

Celery's threads pool acknowledges in the pool's thread. The connection's loop does not notice: with Redis it asks for
the next message only after its own next turn, up to a second later; and an AMQP channel is not made for two threads.
"""

import contextlib
import os
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from chargehand.errors import Unavailable

try:
    from celery.worker.request import Request as CeleryRequest  # pyright: ignore[reportMissingTypeStubs] - has none
except ImportError as error:
    raise Unavailable(
        "the Celery engine needs Celery; install it with: pip install 'chargehand[celery]'"
    ) from error

Request: Any = CeleryRequest


class ConnectionThread:
    """Calls for the thread in which Celery's event loop runs; where there is no such loop they are made at once."""

    def __init__(self) -> None:
        self._calls: deque[Callable[[], object]] = deque()
        self._owner: int | None = None
        self._pid = 0
        self._ends: tuple[socket.socket, socket.socket] | None = None

    def register(self, hub: Any) -> None:
        """Have the loop make the calls; done anew with each connection."""
        if self._ends is None or self._pid != os.getpid():
            self._ends = socket.socketpair()
            for end in self._ends:
                end.setblocking(False)
        self._pid, self._owner = os.getpid(), threading.get_ident()
        hub.add_reader(self._ends[0], self._run)

    def call(self, what: Callable[[], object]) -> None:
        """Make the call there, soon."""
        if self._ends is None or self._pid != os.getpid() or threading.get_ident() == self._owner:
            what()
            return
        self._calls.append(what)
        # A buffer that is full of wakes needs no more of them.
        with contextlib.suppress(BlockingIOError):
            self._ends[1].send(b"\0")

    def _run(self) -> None:
        if self._ends is not None:
            with contextlib.suppress(BlockingIOError):
                self._ends[0].recv(4096)
        while self._calls:
            self._calls.popleft()()


CONNECTION = ConnectionThread()


class WakeUp(Request):
    """A message under way."""

    def acknowledge(self) -> None:
        """Tell the broker that it may forget the message."""
        above: Any = super()
        CONNECTION.call(above.acknowledge)
