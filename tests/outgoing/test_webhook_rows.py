"""How long deliveries stay: those that ended, those that wait, and what they tell of."""

from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from chargehand.domain.retention import PruneOrder
from chargehand.domain.webhook import DeliveryStatus
from chargehand.engine.webhook_sender import SET_ASIDE_SECONDS
from chargehand.network.guarded_http import Fetched, GuardedHttp
from chargehand.store import retention, webhook_deliveries
from tests import given
from tests.given import ME
from tests.outgoing.desk import Desk, a_desk
from tests.webhook_receiver import status


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[Desk]:
    async with a_desk(tmp_path) as opened:
        yield opened


async def test_old_deliveries_go_and_those_of_what_is_no_more(tmp_path: Path) -> None:
    async with a_desk(tmp_path, webhook_log_days=2) as desk:
        webhook, _ = await desk.made()
        removed, _ = await desk.made()
        await desk.done()
        await desk.send_due()
        await desk.core.webhooks.webhooks.remove(ME, removed.id)
        desk.clock.advance(86_400)
        await desk.done()
        await desk.send_due()
        desk.clock.advance(86_401)

        await desk.send_due()

        assert len(await desk.deliveries(webhook)) == 1
        left = given.rows(desk.core, "SELECT endpoint_id FROM webhook_deliveries")
        tries = given.rows(desk.core, "SELECT count(*) FROM webhook_attempts")
        assert (left, tries) == ([(webhook.id,)], [(1,)])


async def test_what_tells_of_a_task_goes_with_it(desk: Desk) -> None:
    webhook, _ = await desk.made()
    await desk.core.webhooks.webhooks.test(ME, webhook.id)
    await desk.done()
    await desk.send_due()
    desk.clock.advance(86_400)

    await desk.core.retention.prune(ME, PruneOrder(older_than=timedelta(hours=1)))

    assert [one.kind for one in await desk.deliveries(webhook)] == ["webhook.test"]
    assert given.rows(desk.core, "SELECT count(*) FROM webhook_attempts") == [(1,)]


@pytest.mark.usefixtures("database")
async def test_a_task_stays_while_somebody_is_still_to_be_told_of_it(desk: Desk) -> None:
    order = PruneOrder(older_than=timedelta(hours=1))
    desk.receiver.answer = status(500)
    webhook, _ = await desk.made()
    await desk.done("lead")
    await desk.send_due()
    desk.clock.advance(7_200)
    told = await desk.core.retention.prune(ME, replace(order, is_dry_run=True))
    while_it_is_tried = await desk.core.retention.prune(ME, order)
    async with desk.core.db.write() as tx:
        seen_too_early = await retention.hold_ended(tx, [await an_id(desk)], before=tx.now)
    await desk.core.webhooks.webhooks.change(ME, webhook.id, {"is_enabled": False})
    put_off = await desk.core.retention.prune(ME, order)

    assert (told.trees, while_it_is_tried.trees, seen_too_early) == (0, 0, {})
    assert (put_off.trees, put_off.tasks) == (1, 2)
    assert await desk.deliveries(webhook) == []


async def an_id(desk: Desk) -> str:
    return given.rows(desk.core, "SELECT id FROM agent_tasks WHERE depth = 0")[0][0]


async def test_a_delivery_that_something_of_ours_is_wrong_with_is_tried_again_by_itself(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody tells of it a second time: the sender must know when to look."""
    webhook, _ = await desk.made()
    await desk.done()
    with monkeypatch.context() as wrong:
        wrong.setattr(GuardedHttp, "post", no_post)
        look_at = await desk.core.webhooks.sender.do(desk.clock.now())
    too_early = len(desk.receiver.taken)

    assert look_at == desk.clock.now() + timedelta(seconds=SET_ASIDE_SECONDS)
    desk.clock.advance(SET_ASIDE_SECONDS)
    assert await desk.core.webhooks.sender.do(desk.clock.now()) is None
    assert (too_early, len(desk.receiver.taken)) == (0, 1)
    assert [one.status for one in await desk.deliveries(webhook)] == [DeliveryStatus.DELIVERED]


async def no_post(*_: object) -> Fetched:
    raise ZeroDivisionError


async def test_what_is_sent_again_is_not_deleted_with_what_is_old(desk: Desk) -> None:
    webhook, _ = await desk.made()
    await desk.done()
    await desk.send_due()
    [old] = await desk.deliveries(webhook)
    desk.clock.advance(40 * 86_400)
    await desk.core.webhooks.webhooks.redeliver(ME, webhook.id, old.id)

    async with desk.core.db.write() as tx:
        found = await webhook_deliveries.hold_no_more_wanted(tx, [old.id], tx.now)

    assert found == []
