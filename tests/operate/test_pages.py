"""The pages for operators: what they tell a reader to type is typed here, or at least taken by the program."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from chargehand.settings import Settings
from tests.cli.service import Cli, cli_in, running_service
from tests.operate.shipped import ROOT, SETTINGS, parsed_by_the_program

PAGES = sorted((ROOT / "docs" / "operate").glob("*.md"))


def typed_lines(page: Path) -> Iterator[str]:
    """Every `chargehand …` of the page's examples."""
    for block in re.findall(
        r"^ *```(?:sh|console)\n(.*?)^ *```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE
    ):
        for line in block.splitlines():
            found = re.match(r"\s*(?:[$>#] )?(?:CHARGEHAND_\w+=\S+ )*chargehand (.*)", line)
            if found:
                yield found[1].partition("  #")[0].partition(" > ")[0].strip()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_program_takes_every_command_of_the_page(page: Path) -> None:
    for line in typed_lines(page):
        assert parsed_by_the_program(line.replace("\\", "/"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_setting_that_a_page_names_is_one(page: Path) -> None:
    named = set(re.findall(r"`?(CHARGEHAND_[A-Z_]+)\b", page.read_text(encoding="utf-8")))

    assert named <= SETTINGS, named - SETTINGS


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cli]:
    """A command line on the data folder of a service that runs."""
    cli = cli_in(tmp_path_factory.mktemp("served")).with_environment(CHARGEHAND_SANDBOX="none")
    with running_service(cli):
        yield cli


def submitted(cli: Cli, agent: str) -> str:
    return cli.call("run", agent, "--prompt", "x", "--no-wait").stdout.strip()


def came_to(cli: Cli, task_id: str, kind: str) -> None:
    """Return when the task has an event of this kind."""
    with cli.start("tasks", "watch", task_id, "--json") as watching:
        try:
            for line in watching.stdout or ():
                if json.loads(line).get("kind") == kind:
                    return
        finally:
            watching.terminate()
    raise AssertionError(f"{task_id}: no {kind}")


def test_the_page_on_stuck_tasks_finds_and_frees_them(served: Cli) -> None:
    lines = list(typed_lines(ROOT / "docs" / "operate" / "stuck-tasks.md"))
    lines.sort(key=lambda line: line.startswith("tasks watch"))  # it would wait for the answer further down
    asking, sleeping = submitted(served, "asker"), submitted(served, "waiter")
    came_to(served, asking, "task.waiting")
    came_to(served, sleeping, "task.waiting")
    printed: dict[str, str] = {}
    for line in lines:
        # Those at the end of the page are about a task that gets on no more.
        task_id = sleeping if re.match(r"tasks (cancel|retry)", line) else asking
        done = served.call(*shlex.split(line.replace("TASK_ID", task_id)))
        assert done.returncode in ((0, 6) if line == "doctor" else (0,)), f"{line}: {done}"
        printed[line] = done.stdout

    assert {asking, sleeping} <= set(re.findall(r"[0-9a-f-]{36}", printed["tasks list --status waiting"]))
    assert "Which color?" in printed["tasks show TASK_ID --steps"]
    assert "red" in printed["tasks watch TASK_ID"]
    assert len(printed) == 10


def test_the_pages_on_the_audit_retention_backup_and_upgrade_do_what_they_say(
    served: Cli, tmp_path: Path
) -> None:
    assert served.call("run", "greeter").returncode == 0
    assert served.call("secrets", "set", "TRACKER_TOKEN", stdin="of the tests, 31 characters").returncode == 0
    elsewhere = served.with_environment(CHARGEHAND_DATA_DIR=str(tmp_path / "restored"))
    head, printed = "", dict[str, str]()
    for page in ("audit", "retention", "backup", "upgrade"):
        for line in typed_lines(ROOT / "docs" / "operate" / f"{page}.md"):
            if line == "db upgrade":  # of a server; a file that a service holds is refused
                continue
            typed = re.sub(r"/(srv/)?backups/", f"{tmp_path}/", line).replace("HASH", head)
            cli = elsewhere if line.startswith("restore") else served
            done = cli.call(*shlex.split(typed), folder=tmp_path)
            assert done.returncode in ((0, 6) if line == "doctor" else (0,)), f"{typed}: {done}"
            printed[line] = done.stdout
            if line.startswith("audit export"):
                name = "more" if "--after" in line else "audit"
                (tmp_path / f"{name}.ndjson").write_text(done.stdout, encoding="utf-8")
            head = (re.findall(r"head (\w{64})", done.stdout) or [head])[0]

    assert "secret.put" in printed["audit list --object TRACKER_TOKEN"]
    assert printed["audit verify audit.ndjson"].startswith("whole: ")
    assert (tmp_path / "restored" / "chargehand.db").is_file()
    assert {"prune --older-than 30d", "db status", "doctor"} <= printed.keys()


def test_the_page_on_sizes_tells_the_defaults_that_hold() -> None:
    page = (ROOT / "docs" / "operate" / "sizing.md").read_text(encoding="utf-8")

    settings = Settings()
    told = dict(re.findall(r"`CHARGEHAND_([A-Z_]+)` \(([^)]+)\)", page))
    assert told == {
        "SLOTS": str(settings.slots),
        "WORKSPACE_BYTES": f"{settings.workspace_bytes // 2**30} GiB",
        "DATABASE_CONNECTIONS": str(settings.database_connections),
    }
