"""The program that test_model_crashes.py kills: it opens a core with a model agent and sees one task to its end.

It is started once, imports what a model needs, and forks a child for each life. A line of JSON on standard input
is one life: where the models are, and the key of the task. It says `life PID`, `task ID`, `step PATH` for each
step that it recorded, and `ended STATUS`.
"""

import asyncio
import importlib
import json
import logging
import os
import signal
import sys
from pathlib import Path

import structlog

from chargehand.domain.history import EventKind
from chargehand.tools.sandbox import SandboxLevel, open_sandbox
from tests import given
from tests.given import ME

FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
LEASE_SECONDS = 30
"""Longer than a busy machine halts a process: a lease lost in a life in peace would count as a death."""


async def one_life(models: str, key: str) -> None:
    """Submit the task, or find it again by its key, and return when it has ended."""
    sandbox = await open_sandbox(SandboxLevel.NONE)
    opened = given.a_core(
        FOLDER,
        sandbox=sandbox,
        lease_seconds=LEASE_SECONDS,
        model="anthropic:claude-test",
        model_urls={"anthropic": models},
    )
    async with opened as core:
        await core.agents.publish(ME, given.a_definition("worker"))
        task = await given.a_task(core, "worker", {"prompt": f"[{key}] Do the work."}, idempotency_key=key)
        say(f"task {task.id}")
        async for event in core.watch.follow(ME, task.id, after=task.last_event):
            if event is not None and event.kind == EventKind.STEP_FINISHED:
                say(f"step {event.data['path']}")


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    importlib.import_module("chargehand.runtimes.model_loop")
    for line in sys.stdin:
        plan = json.loads(line)
        pid = os.fork()
        if pid == 0:
            asyncio.run(one_life(plan["models"], plan["key"]))
            os._exit(0)
        say(f"life {pid}")
        _, status = os.waitpid(pid, 0)
        given.end_leases_of_the_dead()
        say(f"ended {-signal.SIGKILL if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    main()
