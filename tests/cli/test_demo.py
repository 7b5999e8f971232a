"""`chargehand demo`: what it keeps, what it removes, and how it goes on. The crew itself is tried in tests/system.

The agent that it asks for is replaced by one that is quick, through the folder of definitions.
"""

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.service import LIMIT_SECONDS, Cli, definition


@pytest.fixture
def quick(alone: Cli) -> Cli:
    """A demo whose developer only greets."""
    agents = Path(alone.environment["CHARGEHAND_AGENTS_DIR"])
    block = (agents / "greeter.md").read_text(encoding="utf-8").partition("runtime: playbook\n")[2]
    text = definition("backend-developer", block.partition("---")[0])
    (agents / "backend-developer.md").write_text(text, encoding="utf-8")
    environment = {name: value for name, value in alone.environment.items() if name != "CHARGEHAND_DATA_DIR"}
    return Cli(environment=environment, folder=alone.folder, data_dir=alone.folder / "chargehand-data")


def asks(cli: Cli) -> None:
    """From now on the developer asks a question first."""
    agents = Path(cli.environment["CHARGEHAND_AGENTS_DIR"])
    (agents / "backend-developer.md").write_text(
        definition("backend-developer", "  playbook: ask\n"), encoding="utf-8"
    )


def test_the_demo_leaves_what_was_delivered_and_nothing_else(quick: Cli) -> None:
    done = quick.run("demo")

    assert done.returncode == 0, done.stderr
    assert (quick.folder / "delivered" / "bookstore" / "you.txt").read_text(
        encoding="utf-8"
    ) == "Hello you!\n"
    assert [path.name for path in quick.folder.iterdir()] == ["delivered"]


def test_the_demo_gives_the_example_to_the_developer(quick: Cli) -> None:
    kept = quick.run("demo", "--keep")

    assert kept.returncode == 0, kept.stderr
    looking = quick.with_environment(CHARGEHAND_DATA_DIR=str(quick.data_dir))
    task = json.loads(looking.run("tasks", "list", "--label", "demo=bookstore", "--json").stdout)[0]
    assert "name: bookstore" in task["task_data"]["specification"]
    assert f"CHARGEHAND_DATA_DIR={quick.data_dir} chargehand tasks list" in kept.stderr


def test_a_killed_demo_goes_on_with_resume_and_does_no_work_twice(quick: Cli) -> None:
    asks(quick)
    process = quick.start("demo", "--json", "--out", "elsewhere")
    assert process.stdout is not None
    task_id = next(json.loads(line)["task_id"] for line in process.stdout if "task.waiting" in line)
    process.kill()
    process.communicate(timeout=LIMIT_SECONDS)
    looking = quick.with_environment(CHARGEHAND_DATA_DIR=str(quick.data_dir))
    assert looking.run("tasks", "answer", task_id, "blue").returncode == 0

    resumed = quick.run("demo", "--resume", "--json")

    ended = json.loads(resumed.stdout.splitlines()[-1])
    assert resumed.returncode == 0, resumed.stderr
    assert (ended["task"]["id"], ended["task"]["result"]) == (task_id, {"color": "blue"})
    assert not quick.data_dir.exists()


def test_a_demo_that_begins_anew_leaves_the_killed_one_behind(quick: Cli) -> None:
    asks(quick)
    process = quick.start("demo", "--json")
    assert process.stdout is not None
    old = next(json.loads(line)["task_id"] for line in process.stdout if "task.waiting" in line)
    process.kill()
    process.communicate(timeout=LIMIT_SECONDS)
    agents = Path(quick.environment["CHARGEHAND_AGENTS_DIR"])
    shutil.copy(agents / "greeter.md", agents / "backend-developer.md")
    text = (
        (agents / "backend-developer.md")
        .read_text(encoding="utf-8")
        .replace("name: greeter", "name: backend-developer")
    )
    (agents / "backend-developer.md").write_text(text, encoding="utf-8")

    anew = quick.run("demo", "--json")

    assert anew.returncode == 0, anew.stderr
    assert json.loads(anew.stdout.splitlines()[-1])["task"]["id"] != old


def test_resume_without_a_demo_begins_one(quick: Cli) -> None:
    assert quick.run("demo", "--resume").returncode == 0


def test_a_resumed_demo_writes_over_what_it_had_written(quick: Cli) -> None:
    assert quick.run("demo", "--keep").returncode == 0
    (quick.folder / "delivered" / "bookstore" / "you.txt").write_text("half", encoding="utf-8")

    resumed = quick.run("demo", "--resume")

    assert resumed.returncode == 0, resumed.stderr
    assert (quick.folder / "delivered" / "bookstore" / "you.txt").read_text(
        encoding="utf-8"
    ) == "Hello you!\n"


def test_a_folder_with_something_in_it_is_refused_before_anything_is_done(quick: Cli) -> None:
    (quick.folder / "delivered" / "bookstore").mkdir(parents=True)
    (quick.folder / "delivered" / "bookstore" / "mine").write_text("x", encoding="utf-8")

    done = quick.run("demo")

    assert done.returncode == 2
    assert "is not empty" in done.stderr
    assert not quick.data_dir.exists()


def test_a_data_folder_that_the_demo_did_not_make_is_never_removed(quick: Cli) -> None:
    quick.data_dir.mkdir()
    (quick.data_dir / "mine.txt").write_text("mine", encoding="utf-8")

    first = quick.run("demo")
    second = quick.run("demo", "--force")

    assert (first.returncode, second.returncode) == (0, 0)
    assert (quick.data_dir / "mine.txt").read_text(encoding="utf-8") == "mine"
