"""Runs the tests of mutants, each in a process of its own, on a copy of the package that only it has.

Rule: the checkout is read, never written. Children are forks of this process, which has imported everything but the
package and its tests: a mutant costs what its tests cost, not what the libraries take to import.
"""

import importlib
import io
import os
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from review.mutants.discovery import Mutant

LIMIT_SECONDS = 240.0
"""How long a mutant's tests may take; one that hangs is noticed as surely as one that fails."""
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
_PASSED, _FAILED, _INTERRUPTED = 0, 1, 2


class Verdict(StrEnum):
    """What the tests said of a mutant."""

    KILLED = "killed"
    TIMED_OUT = "killed by the time limit"
    SURVIVED = "survived"
    BROKEN = "not tested"
    """pytest found no tests or could not begin: the table of guards is wrong."""


@dataclass(frozen=True, slots=True)
class Tested:
    """A mutant and what became of it."""

    mutant: Mutant
    verdict: Verdict
    seconds: float
    killer: str
    output: str


@dataclass(slots=True)
class _Copy:
    """A copy of the package, and the module in it that is changed just now."""

    folder: Path
    package: Path
    stamps: int = 0
    changed: tuple[Path, str] | None = None

    def change(self, module: str, source: str) -> None:
        path = self.package / module
        self.changed = (path, path.read_text(encoding="utf-8"))
        self._write(path, source)

    def restore(self) -> None:
        if self.changed is not None:
            self._write(*self.changed)
            self.changed = None

    def _write(self, path: Path, source: str) -> None:
        path.write_text(source, encoding="utf-8")
        # Compiled files are told apart by time and size, which may both be the same for two mutants.
        self.stamps += 1
        os.utime(path, (self.stamps * 10, self.stamps * 10))


@dataclass(slots=True)
class _Child:
    mutant: Mutant
    copy: _Copy
    output: Path
    killer: Path
    started: float = field(default_factory=time.monotonic)


class Laboratory:
    """Copies of a package in a temporary folder, and the children at work on them."""

    def __init__(self, root: Path, package: Path, folder: Path, jobs: int) -> None:
        self._root = root
        self._folder = folder
        self._free = [self._copied(package, folder / f"copy{number}") for number in range(jobs)]
        self._children: dict[int, _Child] = {}
        self._killers: dict[tuple[str, str], list[str]] = {}

    def _copied(self, package: Path, folder: Path) -> _Copy:
        target = folder / package.name
        shutil.copytree(package, target, ignore=shutil.ignore_patterns("__pycache__"))
        # The service builds what its blueprints hold; nothing else beside the package is read.
        return _Copy(folder, target)

    def test(self, mutants: Sequence[Mutant], told: Callable[[Tested], object]) -> list[Tested]:
        """Test them all; `told` hears of each when it is done."""
        done: list[Tested] = []
        pending = list(reversed(mutants))
        try:
            while pending or self._children:
                while pending and self._free:
                    self._begin(pending.pop())
                for tested in self._ended():
                    done.append(tested)
                    told(tested)
        finally:
            for child in self._children:
                _kill(child)
        return done

    def _begin(self, mutant: Mutant) -> None:
        copy = self._free.pop()
        copy.change(mutant.module, mutant.source)
        child = _Child(mutant, copy, copy.folder / "output", copy.folder / "killer")
        child.killer.unlink(missing_ok=True)
        first = self._killers.get((mutant.module, mutant.scope), [])
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            _run_as_child(child, self._root, first)
        self._children[pid] = child

    def _ended(self) -> Iterator[Tested]:
        """Those that have ended by now, or had to be ended; waits a moment."""
        time.sleep(0.02)
        for pid, child in list(self._children.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            seconds = time.monotonic() - child.started
            if not ended and seconds < LIMIT_SECONDS:
                continue
            if not ended:
                _kill(pid)
            code = os.waitstatus_to_exitcode(status) if ended else None
            del self._children[pid]
            child.copy.restore()
            self._free.append(child.copy)
            yield self._judged(child, code, seconds)

    def _judged(self, child: _Child, code: int | None, seconds: float) -> Tested:
        killer = child.killer.read_text(encoding="utf-8") if child.killer.exists() else ""
        match code:
            case None:
                verdict = Verdict.TIMED_OUT
            case 0:
                verdict = Verdict.SURVIVED
            case _ if code in (_FAILED, _INTERRUPTED) or code < 0:
                verdict = Verdict.KILLED
            case _:
                verdict = Verdict.BROKEN
        if killer:
            killers = self._killers.setdefault((child.mutant.module, child.mutant.scope), [])
            killers[:] = [killer, *(one for one in killers if one != killer)][:8]
        output = child.output.read_text(encoding="utf-8", errors="replace")
        return Tested(child.mutant, verdict, seconds, killer, output)


def _kill(pid: int) -> None:
    os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _run_as_child(child: _Child, root: Path, first: Sequence[str]) -> None:
    """Never returns."""
    code = 3
    try:
        os.setpgid(0, 0)
        output = os.open(child.output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        code = _tested(child, root, first)
    except BaseException:  # noqa: BLE001 - a fork of the laboratory may not go on as the laboratory
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _tested(child: _Child, root: Path, first: Sequence[str]) -> int:
    import pytest  # noqa: PLC0415 - imported before the fork, where there is a fork

    folder = child.copy.folder
    sys.path.insert(0, str(folder))
    os.environ["PYTHONPATH"] = str(folder)
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(folder / "hypothesis")
    # Neither the checkout nor another mutant sees what was compiled here.
    sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")
    os.chdir(root)
    arguments = ["-x", "-q", "--no-header", "-p", "no:cacheprovider", f"--basetemp={folder / 'temporary'}"]
    # A mutant is one on every database; SQLite answers soonest.
    chosen = ["-k", "not postgresql and not mysql"]
    # Plugins that were imported before the fork are not rewritten, and need not be.
    chosen += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    code = pytest.main([*arguments, *chosen, *child.mutant.tests], plugins=[_Watch(child.killer, first)])
    return int(code)


class _Watch:
    """Puts first what has killed a neighbour, and writes down what fails."""

    def __init__(self, killer: Path, first: Sequence[str]) -> None:
        self._killer = killer
        self._order = {name: place for place, name in enumerate(first)}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Called by pytest."""
        items.sort(key=lambda item: self._order.get(item.nodeid, len(self._order)))

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Called by pytest."""
        if report.failed and not self._killer.exists():
            self._killer.write_text(report.nodeid, encoding="utf-8")


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
    import pytest  # noqa: PLC0415 - nobody who only lists mutants needs it

    silent = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(silent), redirect_stderr(silent):
        pytest.main(["--collect-only", "-q", "-p", "no:cacheprovider", f"--rootdir={folder}", folder])


def untouched(mutants: Sequence[Mutant], package: Path) -> list[Mutant]:
    """For each set of tests one mutant that changes nothing: its tests must pass, or they say nothing of the others."""
    sets: dict[tuple[str, ...], Mutant] = {}
    for one in mutants:
        sets.setdefault(one.tests, one)
    return [
        Mutant(
            guard=one.guard,
            module=one.module,
            scope=one.scope,
            line=0,
            told="nothing is changed",
            source=(package / one.module).read_text(encoding="utf-8"),
            tests=tests,
        )
        for tests, one in sets.items()
    ]
