"""Forks processes of the service: all that they import is imported once, so that a life begins in milliseconds.

It reads lines of JSON from standard input, `{"start": NAME, "argv": [...], "environment": {...}, "log": PATH,
"clock": PATH}` or `{"signal": NUMBER, "pid": PID}`, and tells `{"started": NAME, "pid": PID}` and
`{"ended": PID, "status": CODE}`. A child that is told of as ended gets no signal any more, so that none ever reaches
another process with the same id. When standard input ends, every child is killed.
"""

import ctypes
import gc
import importlib
import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from types import FrameType
from typing import Any

PR_SET_PDEATHSIG = 1
# Not chargehand.engine.celery: it reads the settings when it is imported, and they are those of the child.
WARM = (
    "chaos.agents",
    "chaos.clock_jumps",
    "chargehand.cli.main",
    "chargehand.cli.serving",
    "chargehand.app.service",
    "chargehand.serve.server",
    "chargehand.store.migrate",
    "aiosqlite",
    "alembic.command",
    "alembic.config",
    "chargehand.serve.protocol",
    "encodings.ascii",
    "encodings.idna",
    "httptools",
    "importlib.resources.readers",
    "pydantic.v1",
    "rich.console",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "sqlalchemy.dialects.postgresql.asyncpg",
    "stringprep",
    "uvicorn.lifespan.off",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.httptools_impl",
    "uvloop",
    "asyncpg",
    "chargehand.store.server",
    "chargehand.app.fleet",
    "chargehand.app.upkeep",
    "chargehand.cli.fleet",
    "chargehand.engine.fleet",
    "celery.app.amqp",
    "celery.app.log",
    "billiard.pool",
    "billiard.dummy",
    "celery.app.events",
    "celery.backends.base",
    "celery.bin.celery",
    "celery.events.receiver",
    "celery.loaders.app",
    "celery.app.control",
    "celery.apps.worker",
    "celery.concurrency.solo",
    "celery.concurrency.thread",
    "celery.worker.autoscale",
    "celery.worker.components",
    "celery.worker.consumer",
    "celery.worker.consumer.delayed_delivery",
    "celery.worker.strategy",
    "kombu.mixins",
    "kombu.transport.redis",
    "kombu.transport.pyamqp",
    "redis.asyncio",
)


def main() -> None:
    """Serve requests until standard input ends."""
    for name in WARM:
        with suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, _only_wake)
    for number in (signal.SIGINT, signal.SIGTERM):
        # They may reach the whole process group; it is the harness that ends us, by the end of standard input.
        signal.signal(number, signal.SIG_IGN)
    children: set[int] = set()
    tell({"ready": True})
    pending = b""
    while True:
        ready, _, _ = select.select([0, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            reap(children)
        if 0 in ready:
            data = os.read(0, 65536)
            if not data:
                break
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                obey(json.loads(line), children, (woken, waker))
    for pid in children:
        os.kill(pid, signal.SIGKILL)


def _only_wake(number: int, frame: FrameType | None) -> None:
    """Without a handler of its own the signal would not be told to the wakeup file."""
    del number, frame


def obey(order: Mapping[str, Any], children: set[int], own_files: tuple[int, int]) -> None:
    """Start a child, or send one a signal."""
    if "signal" in order:
        if order["pid"] in children:
            os.kill(order["pid"], order["signal"])
        return
    pid = os.fork()
    if pid == 0:
        live(order, own_files)
    children.add(pid)
    tell({"started": order["start"], "pid": pid})


def reap(children: set[int]) -> None:
    """Tell of every child that has ended."""
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        children.discard(pid)
        tell({"ended": pid, "status": os.waitstatus_to_exitcode(status)})


def live(order: Mapping[str, Any], own_files: tuple[int, int]) -> None:
    """Be the command, in this child, to its end."""
    status = 70
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        die_with_parent()
        log = os.open(order["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        for one in (*own_files, log, nothing):
            os.close(one)
        os.environ.clear()
        os.environ.update(order["environment"])
        status = command(order)
    except BaseException:  # noqa: BLE001 - whatever it is goes into the child's log, and never on into the parent's code
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def die_with_parent() -> None:
    """On Linux, be killed when the nursery dies, however it dies."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def command(order: Mapping[str, Any]) -> int:
    """`chargehand ARGV`; its exit code."""
    from chaos import clock_jumps  # noqa: PLC0415 - in the child only: here its clock is bent
    from chargehand.cli.main import main as chargehand  # noqa: PLC0415 - imported already, and used in the child only

    clock_jumps.follow(order["clock"])
    sys.argv = ["chargehand", *order["argv"]]
    try:
        chargehand()
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    return 0


def tell(message: Mapping[str, object]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    main()
