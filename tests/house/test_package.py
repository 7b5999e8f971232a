"""What is installed is what is in the source tree: a wheel without the templates would fail only at a user's."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.house.tree import ROOT, shown, written_files

SOURCE = ROOT / "src"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    in_the_tree = {
        path.relative_to(SOURCE).as_posix() for path in written_files() if path.is_relative_to(SOURCE)
    }
    in_the_wheel = set(zipfile.ZipFile(wheel).namelist())

    assert in_the_tree - in_the_wheel == set()


def test_the_wheel_holds_nothing_else_but_its_metadata(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()

    assert {name.split("/")[0].split("-")[0] for name in names} == {"chargehand"}
    assert [name for name in names if name.endswith((".pyc", ".db", ".key"))] == []
    # A .pth file runs code at every start of Python: how packages have been turned against those who installed them.
    assert [name for name in names if name.endswith((".pth", ".egg-link")) or "sitecustomize" in name] == []


def test_the_typing_marker_is_there() -> None:
    assert "src/chargehand/py.typed" in {shown(path) for path in written_files()}
