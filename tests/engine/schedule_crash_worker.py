"""The program that test_schedule_crashes.py kills: it makes two schedules, or sees to them some hours later."""

import asyncio
import json
import logging
import sys
from pathlib import Path

import structlog

from chargehand import failpoint
from chargehand.clock import SystemClock
from chargehand.domain.schedule import ScheduleOrder
from chargehand.runtimes.playbook import PlaybookContext
from tests import given
from tests.given import ME, TestClock


async def idle(ctx: PlaybookContext) -> None:
    del ctx


class Clock(TestClock):
    """Moved by hand, with ids that no other life makes again."""

    def new_id(self) -> str:
        return IDS.new_id()


IDS = SystemClock()


async def one_life(folder: Path, point: str, hours: int) -> None:
    clock = Clock()
    async with given.a_core(folder, playbooks={"one": idle}, clock=clock, with_engine=False) as core:
        if not hours:
            for name in ("once", "all"):
                order = ScheduleOrder(name=name, cron="@hourly", agent_id="one", task_data={}, missed=name)
                await core.schedules.create(ME, order)
            return
        clock.jump(hours * 3600)
        failpoint.arm(point)
        await core.schedule_runs.run_due()


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    plan = json.loads(sys.argv[1])
    asyncio.run(one_life(Path(plan["folder"]), plan["point"], plan["hours"]))


if __name__ == "__main__":
    main()
