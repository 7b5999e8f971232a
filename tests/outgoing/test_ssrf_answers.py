"""Who is asked where the operator says may answer with an address: a redirect, the place of an issuer's keys.

The server that is asked stands on the loopback, as one that the operator has named may; what it says leads nowhere.
"""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from chargehand.domain.issuer import Issuer
from chargehand.domain.webhook import TEST_KIND, WebhookOrder
from chargehand.errors import InvalidInput, ToolError, Unavailable
from chargehand.models.limits import ModelLimits
from chargehand.models.wire import Refused, http_client
from chargehand.network.addresses import HostRules
from chargehand.network.guarded_http import GuardedHttp
from chargehand.network.jwks import IssuerKeys
from chargehand.service.issuer_file import read_issuer_file
from chargehand.store import webhook_deliveries
from chargehand.tools.mcp_client import offered
from chargehand.tools.mcp_failure import McpFailure
from chargehand.tools.mcp_file import HttpServer
from chargehand.tools.mcp_transport import bounded_client
from tests import given
from tests.given import ME, TestClock
from tests.issuer import LocalIssuer, local_issuer
from tests.listening import listening
from tests.ssrf import ATTACKS, Attack, a_canary, held


@dataclass(slots=True)
class Redirector:
    """Answers whatever it is asked with a redirect to what stands here."""

    port: int = 0
    location: str = ""
    asked: int = 0

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.place}/"


@asynccontextmanager
async def a_redirector() -> AsyncGenerator[Redirector]:
    made = Redirector()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        made.asked += 1
        head = (
            f"HTTP/1.1 307 X\r\nContent-Length: 0\r\nConnection: close\r\nLocation: {made.location}\r\n\r\n"
        )
        writer.write(head.encode())
        writer.close()

    async with listening(serve) as made.port:
        yield made


@pytest.mark.parametrize("leaves_host", [True, False])
async def test_a_redirect_is_checked_as_the_first_address_is(leaves_host: bool) -> None:
    async with a_canary() as canary, a_redirector() as redirector:
        rules = HostRules(hosts=("*", f"*:{canary.port}", redirector.place), private=(redirector.place,))
        client = GuardedHttp(rules=rules, total_seconds=5)

        async def got(attack: Attack, url: str) -> object:
            redirector.location, client.resolve = url, attack.resolve()
            answer = await client.get(redirector.url, leaves_host=leaves_host)
            return None if answer.status == 307 else answer

        await held(canary, got, ToolError)
        assert redirector.asked >= 100


async def test_a_receiver_of_webhooks_sends_nobody_on(tmp_path: Path) -> None:
    async with (
        a_canary() as canary,
        a_redirector() as redirector,
        given.a_core(tmp_path, with_engine=False, webhook_private_hosts=(redirector.place,)) as core,
    ):
        stored = (await core.webhooks.webhooks.create(ME, WebhookOrder(url=redirector.url))).webhook
        delivery = webhook_deliveries.fresh(
            core.clock.new_id(), stored.id, stored.tenant, TEST_KIND, now=core.clock.now(), data={}
        )

        async def sent(attack: Attack, url: str) -> object:
            del attack
            redirector.location = url
            tried = await core.webhooks.webhooks.sending.tried(stored, delivery)
            return None if tried.attempt.response_status in (None, 307) else tried

        await held(canary, sent, ToolError)
        assert redirector.asked >= 100


async def test_an_mcp_server_sends_nobody_on() -> None:
    async with a_canary() as canary, a_redirector() as redirector:
        server = HttpServer(
            name="desk", url=redirector.url, timeout_seconds=5, headers={}, headers_from_env={}
        )
        async with bounded_client(server, 5) as client:

            async def asked(attack: Attack, url: str) -> object:
                del attack
                redirector.location = url
                return await client.post(server.url, content=b"{}")

            await held(canary, asked, McpFailure)

        redirector.location = ATTACKS[0].url_at(canary.port)
        with pytest.raises(McpFailure, match="redirects, which is not followed"):
            await offered(server, None)
        assert redirector.asked >= 100
        assert canary.connections == []


async def test_a_provider_of_models_sends_nobody_on() -> None:
    async with a_canary() as canary, a_redirector() as redirector, http_client(ModelLimits()) as client:

        async def asked(attack: Attack, url: str) -> object:
            del attack
            redirector.location = url
            return await client.post(redirector.url, content=b"{}")

        await held(canary, asked, Refused)
        assert redirector.asked >= 100


async def keys_of(issuer: Issuer, attack: Attack) -> object:
    """The issuer's only key; what a token is verified with."""
    keys = IssuerKeys(issuer, TestClock(), attack.resolve())
    try:
        return await keys.key(None)
    finally:
        await keys.close()


async def test_what_an_issuer_says_of_its_keys_leads_nowhere(tmp_path: Path) -> None:
    async with a_canary() as canary, a_redirector() as redirector, local_issuer() as issuer:
        [by_discovery] = read_issuer_file(issuer.file(tmp_path))
        places = [f"127.0.0.1:{issuer.port}", redirector.place]
        [by_redirect] = read_issuer_file(issuer.file(tmp_path, jwks_url=redirector.url, private_hosts=places))

        async def discovered(attack: Attack, url: str) -> object:
            document = {"issuer": issuer.url, "jwks_uri": url}
            issuer.pages["/.well-known/openid-configuration"] = json.dumps(document).encode()
            return await keys_of(by_discovery, attack)

        async def redirected(attack: Attack, url: str) -> object:
            redirector.location = url
            return await keys_of(by_redirect, attack)

        await held(canary, discovered, Unavailable)
        await held(canary, redirected, Unavailable)
        assert redirector.asked >= 100
        assert len(issuer.asked) >= 100


@pytest.mark.parametrize("setting", ["issuer", "jwks_url"])
async def test_an_issuer_in_the_operators_file_is_no_private_host_unless_it_says_so(
    tmp_path: Path, setting: str
) -> None:
    described = LocalIssuer()
    async with a_canary() as canary:

        async def configured(attack: Attack, url: str) -> object:
            file = described.file(
                tmp_path, **{"issuer": "https://corp.example", setting: url}, private_hosts=[]
            )
            [issuer] = read_issuer_file(file)
            return await keys_of(issuer, attack)

        await held(canary, configured, (InvalidInput, Unavailable))
