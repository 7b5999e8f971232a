"""What tests of webhooks begin with: a core, a receiver that it may send to, and nobody who sends by himself."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chargehand.app.core import Core
from chargehand.domain.values import JsonValue
from chargehand.domain.webhook import Delivery, Webhook, WebhookOrder
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.service.journal import Delegation
from tests import given
from tests.given import ME, TestClock
from tests.webhook_receiver import Receiver, a_receiver


async def echo(ctx: PlaybookContext) -> JsonValue:
    return ctx.data


async def fail(ctx: PlaybookContext) -> JsonValue:
    raise ValueError(f"{ctx.data}")


async def lead(ctx: PlaybookContext) -> JsonValue:
    [told] = await ctx.delegate(Delegation(agent_id="echo", task_data={}, labels={}))
    return told


@dataclass(slots=True)
class Desk:
    """A core, its clock, and a receiver that it may send to. Nobody sends but on the test's word."""

    core: Core
    clock: TestClock
    receiver: Receiver

    async def made(self, **order: Any) -> tuple[Webhook, str]:
        order = {"url": self.receiver.url(), **order}
        made = await self.core.webhooks.webhooks.create(ME, WebhookOrder(**order))
        return made.webhook, made.secret

    async def send_due(self) -> None:
        """What a sender does until nothing more is due."""
        await self.core.webhooks.sender.do(self.clock.now())

    async def deliveries(self, webhook: Webhook) -> list[Delivery]:
        return (await self.core.webhooks.webhooks.deliveries(ME, webhook.id)).items

    async def done(self, agent: str = "echo", **order: Any) -> str:
        """A task that has ended."""
        task = await given.ended(self.core, await given.a_task(self.core, agent, **order))
        return task.id

    async def now(self, webhook: Webhook) -> Webhook:
        return await self.core.webhooks.webhooks.get(ME, webhook.id)


@asynccontextmanager
async def a_desk(folder: Path, **settings: Any) -> AsyncGenerator[Desk]:
    clock = TestClock()
    books = {"echo": echo, "fail": fail, "lead": lead}
    async with (
        a_receiver() as receiver,
        given.a_core(
            folder, playbooks=books, clock=clock, webhook_private_hosts=(receiver.host,), **settings
        ) as core,
    ):
        # The test is the sender.
        await core.webhooks.sender.stop()
        yield Desk(core, clock, receiver)
