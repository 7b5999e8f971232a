"""Runs the tests of mutants: for each set of tests a process of its own, on a copy of the package that only it has.

Rule: the checkout is read, never written. The processes are forks of this one, which has imported everything but the
package and its tests; what each of them does is in benches.py.
"""

import importlib
import io
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from review.mutants.benches import ARGUMENTS, Bench, Copy, Verdict, tell
from review.mutants.discovery import Mutant

PRELOADED = (
    *(
        "pytest",
        "pytest_asyncio.plugin",
        "hypothesis.stateful",
        "sqlalchemy.ext.asyncio",
        "aiosqlite",
        "alembic",
    ),
    *(
        "fastapi",
        "httpx2",
        "pydantic_settings",
        "structlog",
        "jinja2",
        "yaml",
        "orjson",
        "cryptography.fernet",
    ),
)


@dataclass(frozen=True, slots=True)
class Tested:
    """A mutant and what became of it; without a mutant, what became of a set of tests on the untouched package."""

    mutant: Mutant | None
    verdict: Verdict
    tests: tuple[str, ...]
    failed: str
    """The test that failed, and how."""


@dataclass(slots=True)
class _Child:
    mutants: Sequence[Mutant]
    copy: Copy
    told: Path
    seen: int = 0
    """How many lines of `told` were read."""

    def news(self) -> Iterator[Tested]:
        lines = self.told.read_text(encoding="utf-8").splitlines(keepends=True)
        for line in lines[self.seen :]:
            if line.endswith("\n"):
                self.seen += 1
                told: tuple[int, str, str] = json.loads(line)
                number, verdict, failed = told
                mutant = None if number < 0 else self.mutants[number]
                yield Tested(mutant, Verdict(verdict), self.mutants[0].tests, failed)


class Laboratory:
    """Copies of a package in a temporary folder, and the children at work on them."""

    def __init__(self, root: Path, package: Path, folder: Path, jobs: int) -> None:
        self._root = root
        self._free = [_copied(package, folder / f"copy{number}") for number in range(jobs)]
        self._children: dict[int, _Child] = {}

    def test(self, mutants: Sequence[Mutant], told: Callable[[Tested], object]) -> list[Tested]:
        """Test them all; `told` hears of each when it is done, and of each set of tests on what is not changed."""
        done: list[Tested] = []
        sets: dict[tuple[str, ...], list[Mutant]] = {}
        for one in mutants:
            sets.setdefault(one.tests, []).append(one)
        # What takes longest begins first.
        pending = sorted(sets.values(), key=len)
        try:
            while pending or self._children:
                while pending and self._free:
                    self._begin(pending.pop())
                for tested in self._news():
                    done.append(tested)
                    told(tested)
        finally:
            for pid in self._children:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)
        return done

    def _begin(self, mutants: Sequence[Mutant]) -> None:
        copy = self._free.pop()
        child = _Child(mutants, copy, copy.folder / "told")
        child.told.write_text("", encoding="utf-8")
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            _run_as_child(child, self._root)
        self._children[pid] = child

    def _news(self) -> Iterator[Tested]:
        """What was told by now; waits a moment."""
        time.sleep(0.05)
        for pid, child in list(self._children.items()):
            ended, _ = os.waitpid(pid, os.WNOHANG)
            heard = list(child.news())
            yield from heard
            if ended:
                del self._children[pid]
                self._free.append(child.copy)
                if child.seen == 0:
                    output = (child.copy.folder / "output").read_text(encoding="utf-8", errors="replace")
                    yield Tested(None, Verdict.BROKEN, child.mutants[0].tests, output)


def _copied(package: Path, folder: Path) -> Copy:
    target = folder / package.name
    shutil.copytree(package, target, ignore=shutil.ignore_patterns("__pycache__"))
    return Copy(folder, target)


def _run_as_child(child: _Child, root: Path) -> NoReturn:
    try:
        output = os.open(child.copy.folder / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        _test(child, root)
    except BaseException:  # noqa: BLE001 - a fork of the laboratory may not go on as the laboratory
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _test(child: _Child, root: Path) -> None:
    folder = child.copy.folder
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = str(folder)
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(folder / "hypothesis")
    # Neither the checkout nor another mutant sees what was compiled here.
    sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")
    # By which tests/databases.py names the database of a process that runs tests beside others.
    os.environ["PYTEST_XDIST_WORKER"] = folder.name
    os.chdir(root)
    bench = Bench(child.copy, child.mutants, tell(child.told))
    pytest.main([*ARGUMENTS, f"--basetemp={folder / 'temporary'}", *child.mutants[0].tests], plugins=[bench])


@contextmanager
def laboratory(root: Path, package: Path, jobs: int) -> Generator[Laboratory]:
    """A laboratory whose copies are removed at the end."""
    for name in PRELOADED:
        importlib.import_module(name)
    _load_plugins()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        yield Laboratory(root, package, Path(folder), jobs)


def _load_plugins() -> None:
    """Have pytest import its plugins, by collecting nothing."""
    silent = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(silent), redirect_stderr(silent):
        pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", f"--rootdir={folder}", folder])
