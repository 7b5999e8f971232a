"""`chargehand prune`, beside a running service and without one."""

import json
import subprocess

import pytest

from tests.cli.service import Cli, Running, running_service


def told(done: subprocess.CompletedProcess[str], code: int = 0) -> str:
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_it_asks_the_service_that_holds_the_folder(alone: Cli) -> None:
    with running_service(alone):
        told(alone.call("run", "greeter"))
        assert "would prune 0 trees" in told(alone.call("prune", "--older-than", "1h", "--dry-run"))


def test_without_a_service_it_opens_the_folder_itself(alone: Cli) -> None:
    told(alone.run("run", "greeter"))

    done = json.loads(told(alone.run("prune", "--older-than", "1d", "--json")))

    assert done == {
        "dry_run": False,
        "trees": 0,
        "tasks": 0,
        "events": 0,
        "workspaces": 0,
        "blobs": 0,
        "blob_bytes": 0,
    }
    assert len(json.loads(told(alone.run("tasks", "list", "--json")))) > 0


def test_with_a_tenants_key_the_rows_go_and_it_says_who_removes_the_rest(cli: Cli, service: Running) -> None:
    assert service.url
    created = cli.run("keys", "create", "administrator", "--scope", "admin")
    theirs = cli.with_environment(CHARGEHAND_KEY=created.stdout.strip())

    said = told(theirs.run("prune", "--older-than", "30d"))

    assert "pruned 0 trees" in said
    assert "when the service's operator prunes (admin:service)" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--older-than", "soon"], "like 30m, 24h or 90d"),
        (["--older-than", "10s"], "at least a minute"),
        (["--older-than", "1d", "--status", "running"], "only ended tasks are pruned"),
        (["--older-than", "1d", "--status", ","], "only ended tasks are pruned"),
        (["--older-than", "1d", "--limit", "0"], "--limit"),
        ([], "--older-than"),
    ],
)
def test_what_is_refused(cli: Cli, service: Running, arguments: list[str], said: str) -> None:
    assert service.url
    assert said in told(cli.call("prune", *arguments), code=2)
