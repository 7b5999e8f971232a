"""A store filled for the benchmark holds rows that the service itself reads and claims."""

from pathlib import Path

from bench.agents import noop
from bench.filling import copied_id, fill_sqlite
from chargehand.app.core import Registered, open_core
from chargehand.domain.access import LOCAL_OPERATOR as ME
from chargehand.domain.task import TaskOrder
from chargehand.settings import Settings

DEFINITION = """---
name: noop
description: Does nothing.
chargehand:
  runtime: function
  function: noop
---
It works.
"""


async def test_copies_of_a_pending_task_are_claimed_in_the_order_of_their_times(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, sandbox="none")
    registered = Registered(functions={"noop": noop})
    async with open_core(settings, registered=registered, with_engine=False) as core:
        await core.agents.publish(ME, DEFINITION)
        accepted = await core.tasks.submit(ME, TaskOrder(agent_id="noop", task_data={"number": 1}))

        await fill_sqlite(settings.database_path, accepted.task.id, 1, 500)

        copy = await core.watch.get(ME, copied_id(500))
        assert (copy.task_data, copy.root_id, copy.last_event) == ({"number": 1}, copy.id, 1)
        assert [event.sequence for event in await core.watch.events(ME, copy.id, after=0)] == [1]
        claimed = await core.attempts.claim("worker", limit=3)
        assert [task.id for task in claimed] == [accepted.task.id, copied_id(1), copied_id(2)]
