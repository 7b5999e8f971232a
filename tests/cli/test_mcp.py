"""`chargehand mcp`: what servers offer, approving it, and the same over HTTP."""

import asyncio
import json
from pathlib import Path

from tests.cli.service import Cli
from tests.mcp_server import Offer, an_mcp_server


async def run(cli: Cli, *arguments: str) -> tuple[int, str, str]:
    """The command, while this process goes on serving."""
    done = await asyncio.to_thread(cli.run, *arguments)
    return done.returncode, done.stdout, done.stderr


async def test_tools_are_listed_approved_and_wait_again_when_they_change(alone: Cli, tmp_path: Path) -> None:
    offer = Offer()
    offer.offer("echo", "Says it back.\x1b[2J")
    offer.offer("shout")
    async with an_mcp_server(offer) as server:
        file = tmp_path / "mcp.json"
        servers = {"desk": {"url": server.url}, "gone": {"url": "http://127.0.0.1:9/mcp"}}
        file.write_text(json.dumps({"mcpServers": servers}), "utf-8")
        cli = alone.with_environment(CHARGEHAND_MCP_FILE=str(file))

        code, said, told = await run(cli, "mcp", "list")
        assert code == 0
        assert [line.split()[:4] for line in said.splitlines()[1:]] == [
            ["desk", "echo", "new", "mcp__desk__echo"],
            ["desk", "shout", "new", "mcp__desk__shout"],
        ]
        assert "\x1b" not in said
        assert "'gone' failed" in told

        code, said, _ = await run(cli, "mcp", "approve", "desk", "echo")
        assert (code, said.startswith("desk echo: approved")) == (0, True)
        offer.offer("echo", "Something else.")
        code, said, _ = await run(cli, "mcp", "list", "--json")
        assert [one["state"] for one in json.loads(said)["items"]] == ["changed", "new"]
        code, said, _ = await run(cli, "mcp", "approve", "--all")
        assert [line.split(",")[0] for line in said.splitlines()[::2]] == [
            "desk echo: approved",
            "desk shout: approved",
        ]
        assert (await run(cli, "mcp", "approve", "desk", "--all"))[1] == "no tool waits for an approval\n"

        code, _, told = await run(cli, "mcp", "approve", "desk", "nothing")
        assert (code != 0, "seen: desk echo, desk shout" in told) == (True, True)
        code, _, told = await run(cli, "mcp", "approve", "tracer", "--all")
        assert (code, "there is no server 'tracer'; configured: desk, gone" in told) == (4, True)
        code, said, told = await run(cli, "mcp", "approve", "gone", "--all")
        assert (code, said, "'gone' failed" in told) == (6, "", True)
        text = "---\nname: both\ndescription: d\ntools: mcp__desk__echo, mcp__tracer__x\n---\nBody.\n"
        (tmp_path / "both.md").write_text(text, "utf-8")
        assert (
            "tools: mcp__desk__echo, mcp__tracer__x\n"
            in (await run(cli, "agents", "put", str(tmp_path / "both.md")))[1]
        )
        code, said, _ = await run(cli, "agents", "show", "both")
        assert "mcp__desk__echo, mcp__tracer__x" in said
        assert ("'tracer' is not configured" in said, "'desk' is not" in said) == (True, False)

        code, _, told = await run(cli, "mcp", "approve", "desk")
        assert (code != 0, "say which" in told) == (True, True)


async def test_a_file_that_is_wrong_is_told_and_none_is_no_fault(alone: Cli, tmp_path: Path) -> None:
    file = tmp_path / "mcp.json"
    file.write_text('{"desk": {"command": "serve", "network": true}}', "utf-8")

    code, _, told = await run(alone.with_environment(CHARGEHAND_MCP_FILE=str(file)), "mcp", "list")
    assert (code != 0, "no level of the sandbox lets a program out" in told) == (True, True)
    code, _, told = await run(alone, "mcp", "list")
    assert (code, "set CHARGEHAND_MCP_FILE" in told) == (0, True)
