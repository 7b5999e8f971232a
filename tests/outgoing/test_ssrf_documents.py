"""Addresses in what is handed in or shown to the service are words in it: nobody goes there.

Definitions may describe MCP servers and name models, schemas may refer to others; all come from somebody who is not the
operator.
"""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic_ai.messages import ModelRequest

from chargehand.clock import SystemClock
from chargehand.domain.values import JsonObject, JsonValue
from chargehand.errors import InvalidInput
from chargehand.models.choice import ModelChoice, parsed
from chargehand.models.failure import ModelFailure
from chargehand.models.limits import ModelLimits
from chargehand.models.output_schema import check_schema, errors_of
from chargehand.models.requests import ModelRequests
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.tools.mcp_tools import arguments_type
from tests import given
from tests.given import ME
from tests.listening import listening
from tests.ssrf import ATTACKS, Attack, a_canary, held

REFERRING: dict[str, Callable[[str], JsonObject]] = {
    "$ref": lambda url: {"type": "object", "properties": {"a": {"$ref": url}}},
    "$ref below $id": lambda url: {"$id": url, "type": "object", "properties": {"a": {"$ref": "other.json"}}},
    "$dynamicRef": lambda url: {"type": "object", "properties": {"a": {"$dynamicRef": f"{url}#a"}}},
    "$schema": lambda url: {"$schema": url, "type": "object"},
}
"""Where a schema may name another one."""


def output_schema(schema: JsonObject) -> None:
    check_schema(schema)
    errors_of(schema, {"a": 1})


def mcp_schema(schema: JsonObject) -> None:
    arguments_type(schema).model_validate({"a": 1})


@pytest.mark.parametrize("place", sorted(REFERRING))
@pytest.mark.parametrize("used", [output_schema, mcp_schema])
async def test_what_a_schema_refers_to_is_not_fetched(place: str, used: Callable[[JsonObject], Any]) -> None:
    async with a_canary() as canary:

        async def validated(attack: Attack, url: str) -> object:
            del attack
            # In a thread: what is fetched there would wait for the canary, which answers here.
            await asyncio.to_thread(used, REFERRING[place](url))
            return None

        await held(canary, validated, (InvalidInput, ValueError), scheme="http")


async def test_a_models_name_leads_to_no_other_server() -> None:
    """Google's protocol has the name in the address that is asked."""
    asked: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with a_canary() as canary, listening(refuse) as port:
        urls = {"google": f"http://127.0.0.1:{port}"}
        choice = ModelChoice(default=None, aliases={}, base_urls=urls, environment={})
        requests = ModelRequests(choice, ModelLimits(), SystemClock())
        question = [ModelRequest.user_text_prompt("Go.")]
        # Some of them: each name has a client made.
        for attack in ATTACKS[::15]:
            url = attack.url_at(canary.port, "http")
            for name in (url, f"@{url.removeprefix('http://')}"):
                with pytest.raises(ModelFailure):
                    await requests.ask(parsed(f"google:{name}"), question, [], max_output_tokens=10)
        await requests.close()
        assert len(asked) >= 10
        assert canary.connections == []


async def test_no_server_that_a_definition_describes_is_talked_to(tmp_path: Path) -> None:
    async def calls(ctx: PlaybookContext) -> JsonValue:
        return [(await ctx.tool(f"mcp__s{number}__echo")).is_error for number in range(len(ATTACKS))]

    async with a_canary() as canary, given.a_core(tmp_path, playbooks={"calls": calls}) as core:
        urls = [attack.url_at(canary.port, "http") for attack in ATTACKS]
        servers = [{f"s{number}": {"type": "http", "url": url}} for number, url in enumerate(urls)]
        block = "chargehand: {runtime: playbook, playbook: calls}"
        head = f"name: caller\ndescription: Calls.\nmcpServers: {json.dumps(servers)}\n{block}"
        published, _ = await core.agents.publish(ME, f"---\n{head}\n---\nCall.\n")
        told = [one for one in published.findings if "which is not trusted" in str(one)]
        assert len(told) == len(ATTACKS)

        ended = await given.ended(core, await given.a_task(core, "caller", {}))

        assert ended.result == [True] * len(ATTACKS)
        assert canary.connections == []
