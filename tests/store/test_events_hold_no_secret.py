"""The event writer takes out what the process knows as a secret, and what looks like one."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from chargehand.domain.history import EventKind
from chargehand.domain.known_secrets import KNOWN, know
from chargehand.domain.task import TaskOrder
from chargehand.domain.values import JsonObject, JsonValue
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.store import history
from tests import given
from tests.given import ME

NOW = datetime(2030, 1, 31, tzinfo=UTC)
VALUE = "the-secret-of-a-shop-5512"


async def read_and_tell(ctx: PlaybookContext) -> JsonValue:
    """Its steps, what it reports and its result all name what it was given."""
    await ctx.tool("Read", file_path=str(ctx.data["name"]))
    await ctx.report(f"read {ctx.data['name']}")
    return ctx.data


def test_an_event_is_written_without_the_secrets_in_it() -> None:
    KNOWN.add(["canary-of-the-event-3311"])
    data: JsonObject = {
        "message": "said canary-of-the-event-3311",
        "more": ["chg_live_0123456789abcdef"],
        "number": 1,
    }

    row = history.row("t", 1, "progress", NOW, data, tenant="default")

    assert row["data"] == {"message": "said [redacted]", "more": ["chg_live_[redacted]"], "number": 1}
    assert data["message"] == "said canary-of-the-event-3311"


def test_an_event_without_any_is_written_as_it_is() -> None:
    data: JsonObject = {"message": "nothing in it"}

    assert history.row("t", 1, "progress", NOW, data, tenant="default")["data"] is data


async def test_of_what_many_tenants_write_in_one_commit_each_loses_its_own_secrets(tmp_path: Path) -> None:
    shop, other = replace(ME, tenant="shop"), replace(ME, tenant="other")
    async with given.a_core(tmp_path, playbooks={"read": read_and_tell}) as core:
        know([VALUE], shop.tenant)
        tasks: dict[str, str] = {}
        for who in (shop, other):
            await core.agents.publish(who, given.a_definition("read", playbook="read"))
            order = TaskOrder(agent_id="read", task_data={"name": VALUE})
            tasks[who.tenant] = (await core.tasks.submit(who, order)).task.id
            assert (await core.watch.wait(who, tasks[who.tenant], given.LIMIT_SECONDS)).status == "completed"
        counted = "SELECT kind FROM task_events WHERE task_id = ? AND instr(data, ?) ORDER BY sequence"
        found = {
            tenant: [kind for (kind,) in given.rows(core, counted, task_id, VALUE)]
            for tenant, task_id in tasks.items()
        }

    assert found["shop"] == []
    assert {EventKind.STEP_STARTED, EventKind.STEP_FINISHED, EventKind.COMPLETED} <= {*found["other"]}
