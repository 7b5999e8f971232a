"""MCP servers are given the operator's stored secrets, for one conversation, and what they say back is cleared."""

import json
from pathlib import Path
from typing import Any

import pytest

from chargehand.errors import InvalidInput
from chargehand.tools.mcp_file import ProgramServer, read_mcp_file
from chargehand.tools.sandbox.base import Sandbox
from tests.given import ME
from tests.mcp_server import Offer, an_mcp_server
from tests.tools import test_mcp, test_mcp_programs
from tests.tools.test_mcp_programs import sandbox as sandbox

CANARY = "canary-of-the-desk-9917"


def look_everywhere(folder: Path) -> None:
    for path in (folder / "data").rglob("*"):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path


async def test_a_header_refers_to_a_secret_which_stands_nowhere(tmp_path: Path) -> None:
    offer = Offer()
    offer.offer("echo", f"Called with Bearer {CANARY}.")
    async with an_mcp_server(offer) as server:
        entry = {"url": server.url, "headers": {"Authorization": "Bearer ${secret:DESK_TOKEN}"}}
        async with test_mcp.a_calling_core(tmp_path, {"desk": entry}) as core:
            await test_mcp.said_to(core, ("mcp__desk__echo", {"text": "x"}))
            assert "needs the secret 'DESK_TOKEN'" in await test_mcp.notes_of(core)
        async with test_mcp.a_calling_core(tmp_path, {"desk": entry}) as core:
            await core.secrets.put(ME, "DESK_TOKEN", CANARY)
            [[is_error, said]] = await test_mcp.said_to(core, ("mcp__desk__echo", {"text": "headers"}))
            sent = offer.headers[-1]["authorization"]
            await core.secrets.put(ME, "DESK_TOKEN", f"{CANARY}-2")
            await test_mcp.said_to(core, ("mcp__desk__echo", {"text": "headers"}))
            look_everywhere(tmp_path)

    assert (is_error, sent) == (False, f"Bearer {CANARY}")
    assert "'authorization': '[redacted]'" in said
    assert offer.headers[-1]["authorization"] == f"Bearer {CANARY}-2"


async def test_a_server_that_lacked_a_secret_is_asked_as_soon_as_it_is_set(tmp_path: Path) -> None:
    offer = Offer()
    offer.offer("echo")
    async with an_mcp_server(offer) as server:
        entry = {"url": server.url, "headers": {"Authorization": "Bearer ${secret:DESK_TOKEN}"}}
        async with test_mcp.a_calling_core(tmp_path, {"desk": entry}) as core:
            lacking, lacked = await core.mcp_pins.all(ME)
            await core.secrets.put(ME, "DESK_TOKEN", CANARY)
            seen, told = await core.mcp_pins.all(ME)

    assert (list(lacking), "needs the secret 'DESK_TOKEN'" in lacked["desk"]) == ([], True)
    assert ([one.tool.name for one in seen], told["desk"]) == (["echo"], "")


async def test_a_program_gets_a_secret_in_its_environment(tmp_path: Path, sandbox: Sandbox) -> None:
    entry: dict[str, Any] = {"env": {"TOKEN": "${secret:DESK_TOKEN}", "MODE": "x"}}
    async with test_mcp_programs.a_calling_core(tmp_path, sandbox, **entry) as core:
        await core.secrets.put(ME, "DESK_TOKEN", CANARY)
        [[_, said]] = await test_mcp_programs.said_to(core, "environment")
        look_everywhere(tmp_path)

    variables = json.loads(said)
    assert (variables["TOKEN"], variables["MODE"]) == ("[redacted]", "x")


def test_of_a_program_that_was_given_a_secret_nothing_shows_it() -> None:
    server = ProgramServer(
        name="desk",
        argv=("serve",),
        timeout_seconds=1,
        variables={"TOKEN": "a ${secret:A} and ${secret:B}"},
        variables_from_env=(),
    )

    given = server.given({"A": "first-value", "B": "second-value"})

    assert server.needed_secrets() == {"A", "B"}
    assert given.environment() == {"TOKEN": "a first-value and second-value"}
    assert set(given.secrets()) == {"first-value", "second-value"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("desk: {url: 'http://host/?key=${secret:A}'}", "put it into `headers`"),
        ("desk: {command: serve, args: ['--token=${secret:A}']}", "which others could see"),
        ("desk: {command: '${secret:A}'}", "which others could see"),
        ("desk: {url: 'http://host/', headers: {X: '${secret:1st}'}}", "begins with a letter"),
        ("desk: {url: 'http://host/', headers: {X: '${secret:A'}}", "is written ${secret:NAME}"),
        ("desk: {command: serve, env: {X: '${secret:}'}}", "begins with a letter"),
    ],
)
def test_a_reference_in_the_wrong_place_is_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "mcp.yaml"
    file.write_text(text, "utf-8")

    with pytest.raises(InvalidInput) as refused:
        read_mcp_file(file)

    assert said in str(refused.value)
