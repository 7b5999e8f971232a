"""The program that test_webhook_crashes.py kills: a service that carries out tasks and sends what they tell.

It forks a child for each life, so that a life costs milliseconds. A line of JSON on standard input is one life: where
to die, how many minutes have passed, which tasks to submit. `ended STATUS` on standard output says how it ended.
"""

import asyncio
import json
import logging
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from chargehand import failpoint
from chargehand.app.core import Core
from chargehand.clock import SystemClock
from chargehand.domain.task import TaskOrder
from chargehand.domain.values import JsonValue
from chargehand.domain.webhook import WebhookOrder
from chargehand.runtimes.playbook import PlaybookContext
from tests import given
from tests.given import ME, TestClock

IDS = SystemClock()
BEGAN = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
ANSWER_SECONDS = 0.5


class Clock(TestClock):
    """Moved by hand, with ids that no other life makes again."""

    def new_id(self) -> str:
        return IDS.new_id()

    def token_bytes(self, count: int) -> bytes:
        return IDS.token_bytes(count)


async def echo(ctx: PlaybookContext) -> JsonValue:
    return ctx.data


async def one_life(folder: Path, life: dict[str, Any]) -> None:
    clock = Clock(BEGAN + timedelta(minutes=life["minutes"]))
    host = life["host"]
    async with given.a_core(
        folder, playbooks={"echo": echo}, clock=clock, webhook_private_hosts=(host,)
    ) as core:
        core.webhooks.webhooks.client.total_seconds = ANSWER_SECONDS
        if life["make"]:
            made = await core.webhooks.webhooks.create(ME, WebhookOrder(url=f"http://{host}/hook"))
            (folder / "secret.txt").write_text(made.secret, "ascii")
        failpoint.arm(life["point"])
        for key in life["tasks"]:
            await core.tasks.submit(ME, TaskOrder(agent_id="echo", task_data={}, idempotency_key=key))
        await given.eventually(lambda: _is_quiet(core))


async def _is_quiet(core: Core) -> bool:
    """Whether every task has ended and nothing is to be sent now."""
    counts = await core.watch.counts()
    if any(count for name, count in counts.items() if name not in ("completed", "failed", "canceled")):
        return False
    awaited, now = await core.webhooks.webhooks.sending.awaited()
    return all(one.due > now for one in awaited)


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    folder = Path(sys.argv[1])
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            asyncio.run(one_life(folder, json.loads(line)))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"ended {os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
