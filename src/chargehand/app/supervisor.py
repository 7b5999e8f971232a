"""What a supervisor is told and asks: systemd's readiness, and a reload by SIGHUP."""

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from types import FrameType

import structlog

log = structlog.stdlib.get_logger("chargehand.supervisor")


def notify(*lines: str, environment: Mapping[str, str] = os.environ) -> None:
    """Tell systemd, where it started this process and waits to hear (`Type=notify`); elsewhere nobody."""
    place = environment.get("NOTIFY_SOCKET")
    if not place or sys.platform == "win32":
        return
    address = "\0" + place[1:] if place.startswith("@") else place
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.sendto("\n".join(lines).encode(), address)
    except OSError as error:
        log.warning("systemd cannot be told", error=str(error))


def notify_reloading() -> None:
    """A reload begins; `notify("READY=1")` ends it."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")


@contextmanager
def reload_signal() -> Generator[asyncio.Event]:
    """An event that SIGHUP sets. On a terminal SIGHUP keeps its meaning: the terminal is gone, so end."""
    asked = asyncio.Event()
    if sys.platform == "win32" or has_terminal() or signal.getsignal(signal.SIGHUP) is not signal.SIG_DFL:
        yield asked
        return
    loop = asyncio.get_running_loop()

    def ask(number: int, frame: FrameType | None) -> None:
        del number, frame
        loop.call_soon_threadsafe(asked.set)

    signal.signal(signal.SIGHUP, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def has_terminal() -> bool:
    """Whether this process belongs to a terminal, which no process of a supervisor does."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
