"""`chargehand demo --fleet`: what it refuses, and that it leaves nothing running. The crew itself: tests/system."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from chargehand.cli.demo_processes import Member, end_left_behind
from tests.cli.service import Cli
from tests.databases import a_database, execute

BROKER = "redis://127.0.0.1:1/0"


@pytest.mark.parametrize(
    "option", [("--workers", "3"), ("--kill-workers",), ("--database-url", "x"), ("--broker-url", "x")]
)
def test_what_only_a_fleet_has_is_refused_without_one(alone: Cli, option: tuple[str, ...]) -> None:
    done = alone.run("demo", *option)

    assert (done.returncode, done.stderr) == (2, f"chargehand: {option[0]} is of a fleet; add --fleet\n")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((), "needs a database of its own on a server: --database-url"),
        (("--database-url", "postgresql://127.0.0.1/x"), "needs a broker: --broker-url"),
        (
            ("--database-url", "postgresql://127.0.0.1/x", "--broker-url", "http://x"),
            "must begin with redis://",
        ),
        (("--database-url", "sqlite:///x", "--broker-url", BROKER), "postgresql://"),
        (("--database-url", "postgresql://127.0.0.1:1/x", "--broker-url", BROKER), "127.0.0.1:1"),
    ],
)
def test_a_fleet_without_what_it_needs_is_refused_before_anything_is_made(
    alone: Cli, given: tuple[str, ...], said: str
) -> None:
    cli = alone.with_environment(CHARGEHAND_DATA_DIR=str(alone.folder / "none"))

    done = cli.run("demo", "--fleet", *given)

    assert done.returncode in (2, 6)
    assert said in done.stderr
    assert not (alone.folder / "none").exists()


def test_the_database_of_another_installation_is_refused_and_keeps_its_keys(
    alone: Cli, postgresql_url: str
) -> None:
    del postgresql_url
    url = a_database("postgresql")
    execute(
        url,
        "INSERT INTO api_keys (id, tenant, name, key_hash, last_four, scopes, created_at)"
        " VALUES ('abcdefgh', 'default', 'admin', '\\x00', 'last', '[\"admin\"]', 1)",
    )

    done = alone.run("demo", "--fleet", "--database-url", url, "--broker-url", BROKER)

    assert done.returncode == 2
    assert "belongs to another installation" in done.stderr
    assert "createdb" in done.stderr


def test_what_a_killed_demo_left_running_is_ended_and_nothing_else(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE) for _ in range(2)]
    left, other = processes
    try:
        watched = psutil.Process(left.pid)
        began = watched.create_time()
        told: list[dict[str, Any]] = [
            {"pid": left.pid, "began": began},
            {"pid": other.pid, "began": began - 1000},
        ]
        (tmp_path / "fleet.json").write_text(json.dumps(told), encoding="utf-8")

        assert end_left_behind(tmp_path) == 1

        assert not watched.is_running()
        assert other.poll() is None
        assert end_left_behind(tmp_path) == 0
    finally:
        for process in processes:
            process.kill()
            process.communicate()


@pytest.mark.parametrize("text", ["", "{", "[]", '[{"pid": "x"}]', '{"pid": 1}', "[1]"])
def test_a_damaged_note_of_what_runs_ends_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "fleet.json").write_text(text, encoding="utf-8")

    assert end_left_behind(tmp_path) == 0


async def test_a_member_tells_what_it_said_in_this_life_only(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("an earlier life: worker ready\n", encoding="utf-8")
    member = Member("worker 1", ["--version"], log)

    await member.start(os.environ)
    assert member.process is not None
    assert await member.process.wait() == 0

    assert "worker ready" not in member.said()
    assert "chargehand" in member.said().lower()
    assert not member.lives
