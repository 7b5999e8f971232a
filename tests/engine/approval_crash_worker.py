"""The program that test_approval_crashes.py kills: a model agent whose calls a person decides, in the same process.

It is started once, imports what a model needs, and forks a child for each life. A line of JSON on standard input is
one life: where the models are, the key of the task, and the point at which to die. It says `task ID` and
`ended STATUS`.
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

from chargehand import failpoint
from chargehand.app.core import Core
from chargehand.domain.approval import Approval, Decision
from chargehand.domain.task import Task
from chargehand.tools.sandbox import SandboxLevel, open_sandbox
from tests import given
from tests.given import ME

FOLDER = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()
LEASE_SECONDS = 30
"""Longer than a busy machine halts a process: a lease lost in a life in peace would count as a death."""
POLICY = "- {tool: Bash, action: ask}\n- {tool: Write, action: ask}\n"


async def one_life(models: str, key: str, point: str) -> None:
    """Submit the task, or find it again by its key, decide what is asked, and return when it has ended."""
    policy = FOLDER / "policy.yaml"
    policy.write_text(POLICY, encoding="utf-8")
    opened = given.a_core(
        FOLDER,
        sandbox=await open_sandbox(SandboxLevel.NONE),
        lease_seconds=LEASE_SECONDS,
        model="anthropic:claude-test",
        model_urls={"anthropic": models},
        policy_file=policy,
    )
    async with opened as core:
        await core.agents.publish(ME, given.a_definition("worker"))
        failpoint.arm(point)
        task = await given.a_task(core, "worker", {"prompt": f"[{key}] Do the work."}, idempotency_key=key)
        say(f"task {task.id}")
        await decide_all(core, task)


async def decide_all(core: Core, task: Task) -> None:
    async for event in core.watch.follow(ME, task.id):
        if event is not None:
            page = await core.approvals.page(ME, status="open", task_id=task.id)
            for approval in page.items[::-1]:
                await core.approvals.decide(ME, approval.id, decision_on(approval))


def decision_on(approval: Approval) -> Decision:
    """The first command is run otherwise than asked, the second not at all; the file is written as asked."""
    said = str(approval.arguments.get("command", ""))
    if "asked" in said:
        edited = {**approval.arguments, "command": said.replace("asked", "edited")}
        return Decision(approve=True, arguments=edited, arguments_hash=approval.arguments_hash)
    return Decision(approve="denied" not in said, arguments_hash=approval.arguments_hash)


def say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    importlib.import_module("chargehand.runtimes.model_loop")
    for line in sys.stdin:
        plan = json.loads(line)
        pid = os.fork()
        if pid == 0:
            asyncio.run(one_life(plan["models"], plan["key"], plan["point"]))
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        given.end_leases_of_the_dead()
        say(f"ended {-signal.SIGKILL if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    main()
