"""The rooms import only downwards (.importlinter), and the check of it can fail."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.tree import ROOT

PACKAGE = ROOT / "src" / "chargehand"


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    # With -c the folder is the first place that modules are looked for, before the installed package.
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", code, "--no-logo", "--no-cache", "--config", str(ROOT / ".importlinter")],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_the_rooms_keep_their_contracts() -> None:
    done = lint_imports(ROOT / "src")

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("where", "forbidden_import", "contract"),
    [
        ("domain/task.py", "import chargehand.store.tasks", "Imports only go down"),
        ("domain/task.py", "import sqlalchemy", "Only store speaks SQL"),
        ("service/ports.py", "from fastapi import FastAPI", "Only serve speaks HTTP to callers"),
        ("store/tables.py", "import rich", "Only cli writes to a terminal"),
        ("store/blobs.py", "import pickle", "Nothing reads a format that can run code"),
        ("a_room_without_a_place/__init__.py", "", "Imports only go down"),
    ],
)
def test_a_forbidden_import_is_found(
    tmp_path: Path, where: str, forbidden_import: str, contract: str
) -> None:
    copy = tmp_path / "chargehand"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "blueprints"))
    target = copy / where
    target.parent.mkdir(exist_ok=True)
    with target.open("a", encoding="utf-8") as module:
        module.write(f"\n{forbidden_import}\n")

    done = lint_imports(tmp_path)

    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{contract} BROKEN" in done.stdout
