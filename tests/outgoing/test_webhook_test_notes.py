"""A test of a webhook is sent once, whatever becomes of the note of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from chargehand.domain.webhook import DeliveryStatus, WebhookOrder
from chargehand.errors import RaceLost
from chargehand.store import webhook_deliveries
from chargehand.store.database import Tx
from tests import given
from tests.given import ME
from tests.webhook_receiver import a_receiver


async def test_a_race_lost_while_a_test_is_noted_sends_nothing_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add, lost = webhook_deliveries.add, list[Sequence[Any]]()

    async def lose_once(tx: Tx, deliveries: Sequence[Any]) -> None:
        await add(tx, deliveries)
        if not lost:
            lost.append(deliveries)
            raise RaceLost("another transaction was in the way")

    monkeypatch.setattr(webhook_deliveries, "add", lose_once)
    async with (
        a_receiver() as receiver,
        given.a_core(tmp_path, webhook_private_hosts=(receiver.host,)) as core,
    ):
        webhooks = core.webhooks.webhooks
        made = await webhooks.create(ME, WebhookOrder(url=receiver.url()))
        sent = await webhooks.test(ME, made.webhook.id)
        [noted] = (await webhooks.deliveries(ME, made.webhook.id)).items

        assert len(lost) == len(receiver.taken) == 1
        assert (noted.id, noted.status, noted.attempts) == (sent.id, DeliveryStatus.DELIVERED, 1)
