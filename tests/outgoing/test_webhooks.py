"""Webhooks: what is stored with an event, what a try leads to, and who is told what. Time is the test's."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks.webhooks import WebhookVerificationError

from chargehand.domain.access import DEFAULT_TENANT, Principal, Scope
from chargehand.domain.webhook import (
    DEFAULT_KINDS,
    KINDS,
    MOST_TRIES,
    PAUSES_SECONDS,
    DeliveryStatus,
    Webhook,
    WebhookOrder,
    next_try,
)
from chargehand.errors import Conflict, Forbidden, InvalidInput, WebhookNotFound
from chargehand.service.webhook_sending import WebhookSending
from chargehand.service.webhooks import MAX_WEBHOOKS
from chargehand.store import webhooks as webhook_rows
from tests import given
from tests.given import ME, TestClock
from tests.outgoing.desk import Desk, a_desk, echo
from tests.webhook_receiver import a_receiver, status

STRANGER = Principal(id="stranger", tenant="elsewhere", scopes=frozenset({Scope.ADMIN}))


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncGenerator[Desk]:
    async with a_desk(tmp_path) as opened:
        yield opened


@pytest.mark.usefixtures("database")
async def test_the_end_of_a_task_arrives_signed_with_what_it_tells(tmp_path: Path) -> None:
    async with (
        a_receiver() as receiver,
        given.a_core(tmp_path, playbooks={"echo": echo}, webhook_private_hosts=(receiver.host,)) as core,
    ):
        made = await core.webhooks.webhooks.create(ME, WebhookOrder(url=receiver.url("/in?token=x")))
        task = await given.ended(
            core, await given.a_task(core, "echo", {"number": 7}, labels={"team": "shop"})
        )
        await receiver.until(lambda: bool(receiver.taken))

        async def is_delivered() -> bool:
            found = await core.webhooks.webhooks.deliveries(ME, made.webhook.id)
            return [one.status for one in found.items] == [DeliveryStatus.DELIVERED]

        await given.eventually(is_delivered)

    [taken] = receiver.taken
    said = taken.verified(made.secret)
    assert taken.path == "/in?token=x"
    assert taken.headers["content-type"] == "application/json"
    assert said == {
        "type": "task.completed",
        "timestamp": said["timestamp"],
        "data": {
            "task_id": task.id,
            "sequence": task.last_event,
            "agent_id": "echo",
            "labels": {"team": "shop"},
            "parent_id": None,
            "event": {"reason": None, "result": {"number": 7}},
            "is_cut": False,
        },
    }


async def test_which_events_are_told_is_the_webhooks_choice(desk: Desk) -> None:
    usual, _ = await desk.made()
    ends, _ = await desk.made(kinds=("task.submitted", "task.failed"))
    of_one, _ = await desk.made(agents=("fail",), kinds=KINDS)
    labeled, _ = await desk.made(labels={"team": "shop"})
    with_children, _ = await desk.made(with_children=True)

    await desk.done("echo", labels={"team": "shop", "more": "x"})
    await desk.done("fail", labels={"team": "other"})
    await desk.done("lead")

    async def told(webhook: Webhook) -> list[str]:
        return sorted(one.kind for one in await desk.deliveries(webhook))

    assert await told(usual) == ["task.completed", "task.completed", "task.failed"]
    assert await told(ends) == ["task.failed", *["task.submitted"] * 3]
    assert await told(of_one) == ["task.failed", "task.started", "task.submitted"]
    assert await told(labeled) == ["task.completed"]
    assert await told(with_children) == ["task.completed"] * 3 + ["task.failed"]


async def test_a_receiver_that_fails_for_an_hour_gets_every_event(desk: Desk) -> None:
    webhook, secret = await desk.made()
    desk.receiver.answer = status(500)
    tasks: list[str] = []
    for _ in range(6):
        tasks.append(await desk.done())
        await desk.send_due()
        desk.clock.advance(600)
    failing = await desk.now(webhook)
    tries = len(desk.receiver.taken)

    desk.receiver.answer = status(204)
    for _ in range(24):
        desk.clock.advance(300)
        await desk.send_due()

    answered = desk.receiver.taken[tries:]
    assert failing.failing_since is not None
    assert sorted(one.verified(secret)["data"]["task_id"] for one in answered) == sorted(tasks)
    assert {one.status for one in await desk.deliveries(webhook)} == {DeliveryStatus.DELIVERED}
    assert (await desk.now(webhook)).failing_since is None
    # The same message has the same id each time, and another one another.
    assert len({one.id for one in desk.receiver.taken}) == len(tasks)


def test_tries_are_as_far_apart_as_standard_webhooks_has_them() -> None:
    now = TestClock().now()

    middles = [next_try(tries, now, 0.5, None) for tries in range(1, MOST_TRIES)]

    assert [(at - now).total_seconds() for at in middles if at] == list(PAUSES_SECONDS)
    assert sum(PAUSES_SECONDS) > 3 * 86_400
    assert next_try(MOST_TRIES, now, 0.5, None) is None
    earliest, latest = next_try(3, now, 0.0, None), next_try(3, now, 1.0, None)
    assert (earliest, latest) == (now + timedelta(seconds=900), now + timedelta(seconds=2_700))


async def test_a_delivery_is_tried_ten_times_and_then_left_to_people(tmp_path: Path) -> None:
    async with a_desk(tmp_path, webhook_give_up_days=30) as desk:
        webhook, _ = await desk.made()
        desk.receiver.answer = status(500, body="no room")
        await desk.done()
        for _ in range(MOST_TRIES):
            await desk.send_due()
            desk.clock.advance(PAUSES_SECONDS[-1] + 1)

        [left] = await desk.deliveries(webhook)
        desk.receiver.answer = status(200)
        again = await desk.core.webhooks.webhooks.redeliver(ME, webhook.id, left.id)
        await desk.send_due()
        delivery, tries = await desk.core.webhooks.webhooks.delivery(ME, webhook.id, left.id)

    assert (left.status, left.attempts) == (DeliveryStatus.FAILED, MOST_TRIES)
    assert left.error == "the receiver answered with status 500"
    assert (again.status, again.tries) == (DeliveryStatus.PENDING, 0)
    assert (delivery.status, delivery.attempts) == (DeliveryStatus.DELIVERED, MOST_TRIES + 1)
    assert [one.number for one in tries] == list(range(1, MOST_TRIES + 2))
    assert {one.answer for one in tries[:-1]} == {"no room"}
    assert len({one.id for one in desk.receiver.taken}) == 1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7200", 7_200),
        ("999999999", 86_400),
        ("Wed, 01 Jul 2026 13:00:00 GMT", 3_600),
        ("soon", 5),
        ("-5", 5),
        ("٣", 5),
        ("Wed, 01 Jul 2026 13:00:00", 5),
    ],
)
async def test_a_receiver_says_when_it_wants_the_next_try(desk: Desk, header: str, seconds: int) -> None:
    webhook, _ = await desk.made()
    desk.receiver.answer = status(503, more=f"Retry-After: {header}\r\n")
    await desk.done()

    await desk.send_due()

    [left] = await desk.deliveries(webhook)
    assert left.next_at - desk.clock.now() == timedelta(seconds=seconds)


async def test_who_says_410_is_told_nothing_more_and_the_others_hear_of_it(desk: Desk) -> None:
    other, _ = await desk.made(url=desk.receiver.url("/other"))
    webhook, _ = await desk.made()
    desk.receiver.answer = status(410)
    await desk.done()
    await desk.core.webhooks.webhooks.change(ME, other.id, {"is_enabled": False})
    await desk.core.webhooks.webhooks.change(ME, other.id, {"is_enabled": True})
    held = desk.receiver.answer

    async def by_path(taken: Any, writer: asyncio.StreamWriter) -> None:
        await (status(204) if taken.path == "/other" else held)(taken, writer)

    desk.receiver.answer = by_path
    await desk.send_due()
    await desk.done()
    await desk.send_due()

    gone = await desk.now(webhook)
    assert (gone.disabled_reason, gone.disabled_at) == ("gone", desk.clock.now())
    assert len(await desk.deliveries(webhook)) == 1
    told = [one.said for one in desk.receiver.taken if one.said["type"] == "webhook.disabled"]
    assert [one["data"] for one in told] == [{"webhook_id": webhook.id, "url": webhook.url, "reason": "gone"}]


async def test_where_nothing_arrives_for_days_it_is_given_up_and_goes_on_when_enabled(desk: Desk) -> None:
    webhook, _ = await desk.made()
    desk.receiver.answer = status(500)
    for _ in range(11):
        await desk.done()
        await desk.send_due()
        desk.clock.advance(43_200)
    given_up = await desk.now(webhook)
    before = len(desk.receiver.taken)
    desk.receiver.answer = status(204)
    await desk.send_due()
    silent = len(desk.receiver.taken)
    with pytest.raises(Conflict, match="enable it"):
        await desk.core.webhooks.webhooks.redeliver(ME, webhook.id, (await desk.deliveries(webhook))[0].id)

    enabled = await desk.core.webhooks.webhooks.change(ME, webhook.id, {"is_enabled": True})
    await desk.send_due()

    assert given_up.disabled_reason == "failing"
    actions = "SELECT actor_kind, action FROM audit_entries WHERE object_kind = 'webhook' ORDER BY number"
    assert given.rows(desk.core, actions) == [
        ("local", "webhook.created"), ("service", "webhook.changed"), ("local", "webhook.changed"),
    ]  # fmt: skip
    assert silent == before
    assert (enabled.disabled_at, enabled.failing_since) == (None, None)
    assert {one.status for one in await desk.deliveries(webhook)} == {DeliveryStatus.DELIVERED}


async def test_one_that_is_back_gets_all_that_waits_at_once(desk: Desk) -> None:
    webhook, _ = await desk.made()
    desk.receiver.answer = status(500)
    for _ in range(5):
        await desk.done()
    await desk.send_due()
    desk.clock.advance(5)
    await desk.send_due()
    desk.receiver.answer = status(204)
    desk.clock.advance(300)

    await desk.send_due()

    assert {one.status for one in await desk.deliveries(webhook)} == {DeliveryStatus.DELIVERED}


async def test_a_receiver_that_does_not_answer_holds_up_nobody_else(desk: Desk) -> None:
    """Its deliveries take their places and no others, and end by the client's limit."""
    desk.core.webhooks.webhooks.client.total_seconds = 1
    async with a_receiver(silent) as dead:
        hosts = desk.core.webhooks.webhooks.client
        both = (desk.receiver.host, dead.host)
        hosts.rules = replace(hosts.rules, hosts=both, private=both)
        hanging, _ = await desk.made(url=dead.url())
        webhook, _ = await desk.made(url=desk.receiver.url("/2"))
        for _ in range(7):
            await desk.done()

        sending = asyncio.create_task(desk.send_due())
        await desk.receiver.until(lambda: len(desk.receiver.taken) == 7)
        answered_while_dead = not sending.done()
        await sending

        assert answered_while_dead
        # Four at first, and one at a time once it is known to fail.
        assert len(dead.taken) == 7
        assert dead.most_at_once == 4
        assert {one.error for one in await desk.deliveries(hanging)} == {
            f"'{dead.url()}' did not answer within 1 s"
        }
        assert {one.status for one in await desk.deliveries(webhook)} == {DeliveryStatus.DELIVERED}


async def test_two_webhooks_that_write_one_host_differently_share_its_places(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go, looked_again = asyncio.Event(), asyncio.Event()
    begun: list[str] = []
    looks: list[None] = []
    awaited, deliver = WebhookSending.awaited, WebhookSending.deliver

    async def counting_looks(self: WebhookSending) -> Any:
        looks.append(None)
        if len(looks) > 1:
            looked_again.set()
        return await awaited(self)

    async def counting(self: WebhookSending, delivery_id: str) -> None:
        begun.append(delivery_id)
        await deliver(self, delivery_id)

    async def held(taken: Any, writer: asyncio.StreamWriter) -> None:
        await let_go.wait()
        await status(204)(taken, writer)

    monkeypatch.setattr(WebhookSending, "awaited", counting_looks)
    monkeypatch.setattr(WebhookSending, "deliver", counting)
    desk.receiver.answer = held
    made = [
        (await desk.made(url=url))[0]
        for url in (desk.receiver.url(), f"http://127.0.0.1:0{desk.receiver.port}/")
    ]
    for _ in range(3):
        await desk.done()

    sending = asyncio.create_task(desk.send_due())
    await desk.receiver.until(lambda: len(desk.receiver.taken) == 4)
    desk.core.webhooks.sender.wake()
    await looked_again.wait()
    begun_while_held = len(begun)
    let_go.set()
    await sending

    assert begun_while_held == 4
    assert {one.status for hook in made for one in await desk.deliveries(hook)} == {DeliveryStatus.DELIVERED}


async def silent(taken: Any, writer: asyncio.StreamWriter) -> None:
    del taken, writer
    await asyncio.Event().wait()


async def test_during_the_change_of_a_secret_both_verify(desk: Desk) -> None:
    webhook, before = await desk.made()
    after = (await desk.core.webhooks.webhooks.rotate_secret(ME, webhook.id)).secret
    await desk.core.webhooks.webhooks.test(ME, webhook.id)
    desk.clock.advance(86_401)
    await desk.core.webhooks.webhooks.test(ME, webhook.id)
    leaked = (await desk.core.webhooks.webhooks.rotate_secret(ME, webhook.id, timedelta(0))).secret
    await desk.core.webhooks.webhooks.test(ME, webhook.id)

    signatures = [one.headers["webhook-signature"].split() for one in desk.receiver.taken]
    assert [len(one) for one in signatures] == [2, 1, 1]
    desk.receiver.taken[0].verified(before, after)
    desk.receiver.taken[1].verified(after)
    desk.receiver.taken[2].verified(leaked)
    with pytest.raises(WebhookVerificationError):
        desk.receiver.taken[2].verified(after)
    assert all(one.startswith("whsec_") for one in (before, after, leaked))


async def test_a_test_is_sent_at_once_also_to_one_that_is_disabled(desk: Desk) -> None:
    webhook, _ = await desk.made()
    await desk.core.webhooks.webhooks.change(ME, webhook.id, {"is_enabled": False})

    well = await desk.core.webhooks.webhooks.test(ME, webhook.id)
    desk.receiver.answer = status(302, more="Location: https://example.com/\r\n")
    ill = await desk.core.webhooks.webhooks.test(ME, webhook.id)

    assert (well.status, well.response_status, well.error) == (DeliveryStatus.DELIVERED, 204, None)
    assert (ill.status, ill.response_status) == (DeliveryStatus.FAILED, 302)
    assert "redirects (status 302), which is not followed" in str(ill.error)
    assert [one.said["type"] for one in desk.receiver.taken] == ["webhook.test"] * 2
    await desk.send_due()
    assert len(desk.receiver.taken) == 2


async def test_what_an_event_tells_is_left_out_where_it_is_too_much(desk: Desk) -> None:
    _, _ = await desk.made()
    await desk.done("echo", data={"text": "x" * 70_000})

    await desk.send_due()

    data = desk.receiver.taken[0].said["data"]
    assert (data["event"], data["is_cut"]) == (None, True)


async def test_nothing_of_a_webhook_is_another_tenants(desk: Desk) -> None:
    webhook, _ = await desk.made()
    await desk.core.webhooks.webhooks.test(ME, webhook.id)
    [delivery] = await desk.deliveries(webhook)
    webhooks = desk.core.webhooks.webhooks
    theirs = (await webhooks.create(STRANGER, WebhookOrder(url=desk.receiver.url("/theirs")))).webhook

    for attempt in (
        webhooks.get(STRANGER, webhook.id),
        webhooks.change(STRANGER, webhook.id, {"description": "x"}),
        webhooks.rotate_secret(STRANGER, webhook.id),
        webhooks.test(STRANGER, webhook.id),
        webhooks.deliveries(STRANGER, webhook.id),
        webhooks.delivery(STRANGER, webhook.id, delivery.id),
        webhooks.redeliver(STRANGER, webhook.id, delivery.id),
        webhooks.remove(STRANGER, webhook.id),
    ):
        with pytest.raises(WebhookNotFound):
            await attempt
    with pytest.raises(Exception, match="has no delivery"):
        await webhooks.redeliver(STRANGER, theirs.id, delivery.id)
    await desk.done()
    assert (await webhooks.page(STRANGER)).items == [theirs]
    assert (await webhooks.deliveries(STRANGER, theirs.id)).items == []


async def test_who_may_not_read_tasks_may_not_have_them_sent(desk: Desk) -> None:
    key = Principal(id="k", tenant=DEFAULT_TENANT, scopes=frozenset({Scope.WEBHOOKS_WRITE}))

    with pytest.raises(Forbidden, match="tasks:read"):
        await desk.core.webhooks.webhooks.create(key, WebhookOrder(url=desk.receiver.url()))


async def test_kinds_that_there_are_not_and_too_many_webhooks_are_refused(desk: Desk) -> None:
    with pytest.raises(InvalidInput, match=r"'step\.started' cannot be sent; known: task\.submitted"):
        await desk.made(kinds=("step.started",))
    with pytest.raises(InvalidInput, match="at least one"):
        await desk.made(kinds=())
    for _ in range(MAX_WEBHOOKS):
        await desk.made()
    with pytest.raises(Conflict, match="remove one"):
        await desk.made()
    order = WebhookOrder(url=desk.receiver.url("/x"))
    theirs = (await desk.core.webhooks.webhooks.create(STRANGER, order)).webhook
    async with desk.core.db.read() as tx:
        assert [one.id for one in await webhook_rows.subscriptions(tx, tenant="elsewhere")] == [theirs.id]
    assert set(DEFAULT_KINDS) <= set(KINDS)


async def test_of_two_senders_of_one_try_the_second_writes_nothing(desk: Desk) -> None:
    webhook, _ = await desk.made()
    await desk.done()
    [seen] = await desk.deliveries(webhook)
    sending = desk.core.webhooks.webhooks.sending
    # A stalled process and the one that took its duty over; the receiver took it the second time only.
    desk.receiver.answer = status(500)
    stalled = await sending.tried(webhook, seen)
    desk.receiver.answer = status(204)
    await desk.send_due()

    async with desk.core.db.write() as tx:
        written = await sending.outcomes.write(tx, seen, stalled)

    delivery, tries = await desk.core.webhooks.webhooks.delivery(ME, webhook.id, seen.id)
    assert written is None
    assert (delivery.status, delivery.attempts, len(tries)) == (DeliveryStatus.DELIVERED, 1, 1)
    assert (await desk.now(webhook)).failing_since is None


async def test_a_secret_is_nowhere_to_be_read(desk: Desk) -> None:
    webhook, secret = await desk.made()
    await desk.core.webhooks.webhooks.test(ME, webhook.id)

    [(sealed,)] = given.rows(desk.core, "SELECT secret FROM webhook_endpoints")

    assert secret.removeprefix("whsec_").encode() not in bytes(sealed)
    assert "secret" not in str(await desk.now(webhook)).replace("previous_secret_until", "")
