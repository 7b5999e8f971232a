"""`chargehand doctor` looks at the machine as it is and names the way out."""

import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from chargehand.store.migrate import HEAD
from tests.cli.service import Cli, Running


def checks_of(cli: Cli, code: int) -> dict[str, Any]:
    done = cli.call("doctor", "--json")
    assert done.returncode == code, done.stdout + done.stderr
    return {one["name"]: one for one in json.loads(done.stdout)["checks"]}


def test_a_machine_that_has_all_is_told_line_by_line(alone: Cli) -> None:
    free = alone.with_environment(CHARGEHAND_PORT="0")

    done = free.run("doctor")

    assert done.returncode == 0, done.stdout
    names = {"python", "data folder", "space", "database", "key", "port", "ripgrep", "crew", "sandbox strict"}
    assert {line[6:].split("  ")[0].strip() for line in done.stdout.splitlines()} >= names
    assert all(line.startswith(("ok ", "warn ", "fail ")) for line in done.stdout.splitlines())
    assert not alone.data_dir.exists()


def test_a_port_in_use_fails_with_the_way_out(alone: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        busy = alone.with_environment(CHARGEHAND_PORT=str(taken.getsockname()[1]))

        checks = checks_of(busy, 6)

    assert checks["port"]["state"] == "fail"
    assert "CHARGEHAND_PORT" in checks["port"]["way_out"]


def test_a_running_service_is_no_fault(cli: Cli, service: Running) -> None:
    checks = checks_of(cli, 0)

    assert service.url in checks["port"]["message"]
    assert checks["database"]["message"].endswith(f"at revision {HEAD}")


@pytest.mark.skipif(sys.platform == "win32", reason="modes are POSIX's")
def test_a_key_that_others_can_read_fails_with_the_command_that_mends_it(alone: Cli) -> None:
    free = alone.with_environment(CHARGEHAND_PORT="0")
    free.run("tasks", "list")
    key_file = alone.data_dir / "admin.key"
    key_file.chmod(0o644)

    checks = checks_of(free, 6)

    assert checks["key"]["way_out"] == f"chmod 600 {key_file}"


def test_a_damaged_database_fails_with_its_name(alone: Cli) -> None:
    alone.data_dir.mkdir()
    (alone.data_dir / "chargehand.db").write_bytes(b"this is no database" * 100)

    checks = checks_of(alone.with_environment(CHARGEHAND_PORT="0"), 6)

    assert "chargehand.db cannot be read as a database" in checks["database"]["message"]


def test_a_data_folder_that_is_a_file_fails(alone: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    wrong = alone.with_environment(CHARGEHAND_PORT="0", CHARGEHAND_DATA_DIR=str(tmp_path / "file"))

    assert checks_of(wrong, 6)["data folder"]["state"] == "fail"


def test_little_space_fails_with_what_is_kept_in_reserve(alone: Cli) -> None:
    full = alone.with_environment(CHARGEHAND_PORT="0", CHARGEHAND_DISK_RESERVE_BYTES=str(2**60))

    assert checks_of(full, 6)["space"]["state"] == "fail"


def test_a_sandbox_that_was_asked_for_and_cannot_be_had_fails(alone: Cli) -> None:
    wanted = "job" if os.name == "posix" else "strict"
    wrong = alone.with_environment(CHARGEHAND_PORT="0", CHARGEHAND_SANDBOX=wanted)

    assert checks_of(wrong, 6)[f"sandbox {wanted}"]["state"] == "fail"


def test_what_is_configured_and_well_is_told_without_a_key(
    alone: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])
    servers = {
        "desk": {"url": "http://127.0.0.1:9/", "headers_from_env": {"Authorization": "DESK_TOKEN"}},
        "units": {"command": "serve", "env_from": ["DESK_TOKEN"], "env": {"KEY": "${secret:UNITS_KEY}"}},
    }
    (tmp_path / "mcp.json").write_text(json.dumps(servers), "utf-8")
    (tmp_path / "policy.yaml").write_text("- {tool: Read, action: allow}\n", "utf-8")
    tool = "from chargehand.tools.python import tool\n@tool(risk='read', after_crash='repeat')\ndef count() -> int:\n"
    (tmp_path / "tools_of_a_test.py").write_text(f"{tool}    'Counts.'\n    return 1\n", "utf-8")
    skill = tmp_path / "skills" / "sums"
    skill.mkdir(parents=True)
    (skill / "SKILL.md").write_text("---\nname: sums\ndescription: Adds.\n---\nAdd.\n", "utf-8")
    well = alone.with_environment(
        CHARGEHAND_PORT="0",
        CHARGEHAND_MODEL="anthropic:claude-test",
        CHARGEHAND_MODEL_FALLBACKS='["local"]',
        CHARGEHAND_MODEL_ALIASES='{"local": "openai-chat:tiny"}',
        CHARGEHAND_MODEL_URLS='{"openai-chat": "http://127.0.0.1:9/v1"}',
        CHARGEHAND_MCP_FILE=str(tmp_path / "mcp.json"),
        CHARGEHAND_POLICY_FILE=str(tmp_path / "policy.yaml"),
        CHARGEHAND_SKILLS_DIR=str(tmp_path / "skills"),
        CHARGEHAND_TOOLS='["tools_of_a_test:count"]',
        ANTHROPIC_API_KEY="canary-123",
        DESK_TOKEN="canary-456",
    )

    checks = checks_of(well, 0)

    assert checks["model"]["message"] == "anthropic:claude-test, with a key"
    assert checks["fallbacks"]["message"] == "openai-chat:tiny at http://127.0.0.1:9/v1"
    assert (
        "desk (http), units (program); not looked at here: the secrets UNITS_KEY"
        in checks["mcp file"]["message"]
    )
    assert checks["policy file"]["message"].endswith("1 rule(s)")
    assert checks["skills"]["message"].endswith(": sums")
    assert checks["tools"]["message"] == "count"
    assert "canary" not in str(checks)


def test_what_is_configured_and_wrong_is_named_with_the_way_out(alone: Cli, tmp_path: Path) -> None:
    (tmp_path / "mcp.json").write_text('{"a": {"url": "x"}, "b": {"command": ""}}', "utf-8")
    (tmp_path / "policy.yaml").write_text("- {tool: Read, action: perhaps}\n", "utf-8")
    wrong = alone.with_environment(
        CHARGEHAND_PORT="0",
        CHARGEHAND_MODEL="anthropic:claude-test",
        CHARGEHAND_MODEL_FALLBACKS='["openai:gpt-test", "nobody"]',
        CHARGEHAND_MCP_FILE=str(tmp_path / "mcp.json"),
        CHARGEHAND_POLICY_FILE=str(tmp_path / "policy.yaml"),
        CHARGEHAND_SKILLS_DIR=str(tmp_path / "absent"),
        CHARGEHAND_TOOLS='["no.such:tool"]',
        ANTHROPIC_API_KEY="canary-123",
        OPENAI_API_KEY="",
    )

    checks = checks_of(wrong, 6)

    faults = {name: one["message"] for name, one in checks.items() if one["state"] == "fail"}
    assert faults.keys() == {"fallbacks", "mcp file", "policy file", "skills", "tools"}
    assert "set OPENAI_API_KEY" in faults["fallbacks"]
    assert "'nobody' names no model" in faults["fallbacks"]
    assert ("a.url" in faults["mcp file"], "b.command" in faults["mcp file"]) == (True, True)
    assert str(tmp_path / "policy.yaml") in faults["policy file"]
    assert "CHARGEHAND_SKILLS_DIR" in faults["skills"]
    assert "no.such:tool" in faults["tools"]


def test_a_variable_that_a_server_needs_and_is_not_set_is_named(alone: Cli, tmp_path: Path) -> None:
    (tmp_path / "mcp.json").write_text(
        '{"units": {"command": "serve", "env_from": ["NOT_SET_HERE"]}}', "utf-8"
    )
    wrong = alone.with_environment(CHARGEHAND_PORT="0", CHARGEHAND_MCP_FILE=str(tmp_path / "mcp.json"))

    assert "'units' needs the variable NOT_SET_HERE" in checks_of(wrong, 6)["mcp file"]["message"]
