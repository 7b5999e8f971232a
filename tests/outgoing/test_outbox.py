"""Who is told what is known in time by every process, and costs nothing where nobody is told anything."""

from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from chargehand.domain.webhook import WebhookOrder
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.store.outbox import MOST_AGE_SECONDS, EventOutbox
from tests import given
from tests.given import ME, TestClock

URL = "https://example.com/hook"


async def echo(ctx: PlaybookContext) -> None:
    del ctx


async def test_without_webhooks_an_event_asks_the_database_nothing_more(tmp_path: Path) -> None:
    async with given.a_core(tmp_path, playbooks={"echo": echo}) as core:
        await given.ended(core, await given.a_task(core, "echo"))
        sent: list[str] = []

        def note(_c: Any, _k: Any, statement: str, _p: Any, _x: Any, _m: bool) -> None:
            sent.append(statement)

        event.listen(Engine, "before_cursor_execute", note)
        try:
            for _ in range(3):
                await given.ended(core, await given.a_task(core, "echo"))
        finally:
            event.remove(Engine, "before_cursor_execute", note)

    assert sent
    assert [one for one in sent if "webhook" in one] == []


async def test_another_process_goes_by_a_new_webhook_within_a_second(tmp_path: Path) -> None:
    clock = TestClock()
    async with given.a_core(tmp_path, clock=clock, with_engine=False) as core:
        elsewhere = EventOutbox(core.db, clock, is_shared=True)
        alone = EventOutbox(core.db, clock, is_shared=False)
        before = [await elsewhere.has_endpoints(), await alone.has_endpoints()]
        webhook = (await core.webhooks.webhooks.create(ME, WebhookOrder(url=URL))).webhook
        unheard = await elsewhere.has_endpoints()
        clock.advance(MOST_AGE_SECONDS)
        within_a_second = await elsewhere.has_endpoints()
        await core.webhooks.webhooks.remove(ME, webhook.id)
        elsewhere.changed()
        heard = await elsewhere.has_endpoints()

    assert before == [False, False]
    assert (unheard, within_a_second, heard) == (False, True, False)


async def test_an_event_that_is_taken_back_leaves_nothing_to_be_sent(tmp_path: Path) -> None:
    async with given.a_core(tmp_path, playbooks={"echo": echo}, with_engine=False) as core:
        await core.webhooks.webhooks.create(ME, WebhookOrder(url=URL, kinds=("task.submitted",)))
        stored = await given.a_task(core, "echo")
        try:
            async with core.db.write() as tx:
                assert tx.outbox is not None
                told = {
                    "tenant": stored.tenant,
                    "task_id": stored.id,
                    "sequence": 2,
                    "kind": "task.submitted",
                }
                await tx.outbox.put(tx, [told])
                raise RuntimeError
        except RuntimeError:
            pass

        assert given.rows(core, "SELECT task_id, sequence FROM webhook_deliveries") == [(stored.id, 1)]
