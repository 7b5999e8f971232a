"""`.vscode`: valid, and what it starts is there: modules, commands, tasks, files."""

import importlib.util
import json
import re
from typing import Any

import pytest

import dev
from tests.operate.shipped import ROOT, SETTINGS, parsed_by_the_program

FOLDER = ROOT / ".vscode"


def read(name: str) -> dict[str, Any]:
    """VS Code takes comments in its JSON; each stands on a line of its own here."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    return json.loads(re.sub(r"(?m)^\s*//.*$", "", text))


CONFIGURATIONS: list[dict[str, Any]] = read("launch.json")["configurations"]
TASKS: list[dict[str, Any]] = read("tasks.json")["tasks"]


@pytest.mark.parametrize("one", CONFIGURATIONS, ids=lambda one: one["name"])
def test_what_is_debugged_is_there(one: dict[str, Any]) -> None:
    if "module" in one:
        assert importlib.util.find_spec(one["module"]) is not None
    given: list[str] | str = one.get("args", [])
    if one.get("module") == "chargehand" and not isinstance(given, str):
        arguments = [word.replace("${workspaceFolder}", str(ROOT)) for word in given]
        assert parsed_by_the_program(arguments)
        assert all((ROOT / word).exists() for word in arguments if word.startswith(f"{ROOT}/examples"))
    assert set(one.get("env", ())) <= SETTINGS
    assert one.get("preLaunchTask", "set up") in {task["label"] for task in TASKS}
    # debugpy listens to whoever comes: never to another machine.
    assert one.get("connect", {}).get("host", "127.0.0.1") == "127.0.0.1"


def test_each_way_to_debug_is_there() -> None:
    kinds = {(one["request"], one.get("module"), tuple(one.get("args", ()))[:1]) for one in CONFIGURATIONS}

    assert {("launch", "chargehand", (word,)) for word in ("serve", "worker", "run")} <= kinds
    assert ("launch", "pytest", ("${file}",)) in kinds
    assert {request for request, *_ in kinds} == {"launch", "attach"}


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task["label"])
def test_tasks_start_commands_of_the_project(task: dict[str, Any]) -> None:
    script, command = task["args"]

    assert (ROOT / script).is_file()
    assert command in dev.COMMANDS


def test_settings_and_extensions_are_valid() -> None:
    settings, extensions = read("settings.json"), read("extensions.json")

    assert all((ROOT / folder).is_dir() for folder in settings["python.testing.pytestArgs"])
    assert settings["[python]"]["editor.defaultFormatter"] in extensions["recommendations"]
    assert all(re.fullmatch(r"[\w-]+\.[\w-]+", one) for one in extensions["recommendations"])
