"""Every way in that takes a URL: through none of them does the service connect to where it must not."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from chargehand.app.core import Core
from chargehand.domain.webhook import TEST_KIND, DeliveryStatus, WebhookOrder
from chargehand.errors import ToolError, WebhookUrlRefused
from chargehand.network.addresses import HostRules
from chargehand.network.guarded_http import GuardedHttp
from chargehand.store import webhook_deliveries
from chargehand.tools.base import ToolContext, call_tool
from chargehand.tools.fetching import web_fetch
from chargehand.tools.mcp_client import offered
from chargehand.tools.mcp_failure import McpFailure
from chargehand.tools.mcp_file import HttpServer
from tests import given
from tests.given import ME
from tests.ssrf import ATTACKS, LOOPBACK, Attack, a_canary, held

WELL = "https://example.com/hook"


def test_the_table_holds_what_it_is_meant_to() -> None:
    assert len(ATTACKS) >= 62
    assert len(set(ATTACKS)) == len(ATTACKS)
    assert len(LOOPBACK) > 30


def client_for(attack: Attack, port: int, **options: Any) -> GuardedHttp:
    """Any host at any of these ports: what is refused is refused for its address."""
    rules = HostRules(hosts=("*", f"*:{port}", "*:0"))
    return GuardedHttp(rules=rules, resolve=attack.resolve(), total_seconds=5, **options)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_guarded_client_itself(scheme: str) -> None:
    async with a_canary() as canary:

        async def got(attack: Attack, url: str) -> object:
            return await client_for(attack, canary.port).get(url)

        async def posted(attack: Attack, url: str) -> object:
            return await client_for(attack, canary.port).post(url, b"{}", {})

        await held(canary, got, ToolError, scheme=scheme)
        await held(canary, posted, ToolError, scheme=scheme)


async def test_web_fetch() -> None:
    async with a_canary() as canary:

        async def fetched(attack: Attack, url: str) -> object:
            tool = web_fetch(client_for(attack, canary.port))
            result = await call_tool({"WebFetch": tool}, cast("ToolContext", None), "WebFetch", {"url": url})
            return None if result.is_error else result.content

        await held(canary, fetched, ToolError, scheme="http")


def let_lead(core: Core, attack: Attack) -> None:
    """Have names lead where the attack has them lead."""
    core.webhooks.webhooks.client.resolve = attack.resolve()


async def tried(core: Core, webhook_id: str) -> object:
    """All that a webhook can be made to do at once: None when nothing of it arrived."""
    tested = await core.webhooks.webhooks.test(ME, webhook_id)
    again = await core.webhooks.webhooks.redeliver(ME, webhook_id, tested.id)
    await core.webhooks.webhooks.sending.deliver(again.id)
    last, tries = await core.webhooks.webhooks.delivery(ME, webhook_id, again.id)
    assert len(tries) == 2
    assert all("127.0.0.1 is" not in (one.error or "") for one in tries)
    return last if last.status is DeliveryStatus.DELIVERED else None


async def test_webhooks_made_changed_tested_and_sent_again(tmp_path: Path) -> None:
    async with (
        a_canary() as canary,
        given.a_core(tmp_path, with_engine=False, webhook_hosts=("*", f"*:{canary.port}", "*:0")) as core,
    ):
        webhooks = core.webhooks.webhooks
        stored = (await webhooks.create(ME, WebhookOrder(url=WELL))).webhook

        async def made(attack: Attack, url: str) -> object:
            let_lead(core, attack)
            webhook = (await webhooks.create(ME, WebhookOrder(url=url))).webhook
            try:
                return await tried(core, webhook.id)
            finally:
                await webhooks.remove(ME, webhook.id)

        async def changed(attack: Attack, url: str) -> object:
            let_lead(core, attack)
            await webhooks.change(ME, stored.id, {"url": url})
            return await tried(core, stored.id)

        await held(canary, made, WebhookUrlRefused)
        await held(canary, changed, WebhookUrlRefused)


async def test_a_webhook_that_came_into_its_row_in_another_way(tmp_path: Path) -> None:
    """What is dialled is checked then: neither an old row nor a name that leads elsewhere by now gets past it."""
    async with (
        a_canary() as canary,
        given.a_core(tmp_path, with_engine=False, webhook_hosts=("*", f"*:{canary.port}", "*:0")) as core,
    ):
        stored = (await core.webhooks.webhooks.create(ME, WebhookOrder(url=WELL))).webhook
        delivery = webhook_deliveries.fresh(
            core.clock.new_id(), stored.id, stored.tenant, TEST_KIND, now=core.clock.now(), data={}
        )

        async def sent(attack: Attack, url: str) -> object:
            sending = core.webhooks.webhooks.sending
            let_lead(core, attack)
            tried = await sending.tried(replace(stored, url=url), delivery)
            return tried.attempt.response_status

        await held(canary, sent, ToolError)


METADATA: Sequence[str] = (
    "http://169.254.169.254/", "http://2852039166/", "http://0xa9fea9fe/", "http://[::ffff:169.254.169.254]/",
    "http://[fd00:ec2::254]/", "http://168.63.129.16/", "http://0.0.0.0/", "http://[64:ff9b::a9fe:a9fe]/",
)  # fmt: skip


@pytest.mark.parametrize("url", METADATA)
async def test_an_mcp_server_is_never_where_machines_are_told_about_themselves(url: str) -> None:
    """The operator's file names the server, so it may lie in a private network; this is none."""
    server = HttpServer(name="desk", url=url, timeout_seconds=5, headers={}, headers_from_env={})

    with pytest.raises(McpFailure, match="is not a public address"):
        await offered(server, None)
