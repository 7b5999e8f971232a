"""Addresses in what is handed in or shown to the service are words in it: nobody goes there.

Definitions may describe MCP servers, schemas may refer to others; both come from somebody who is not the operator.
"""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chargehand.domain.values import JsonObject, JsonValue
from chargehand.errors import InvalidInput
from chargehand.models.output_schema import check_schema, errors_of
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.tools.mcp_tools import arguments_type
from tests import given
from tests.given import ME
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
