"""One run of pytest that tests many mutants: it imports and collects once, and forks for each of them.

Rule: what a fork has changed, imported or broken goes with it; the process that forks runs no test itself.
"""

import gc
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NoReturn

import pytest

from review.mutants.discovery import Mutant
from review.mutants.patching import CannotPatch, changes_values, patch
from review.mutants.surveying import Survey, Surveyed, read_survey

LEAST_LIMIT_SECONDS = 60.0
LIMIT_FACTOR = 5.0
"""How many times as long as untouched a mutant's tests may take; one that hangs is noticed as surely as a failure."""
SURVEY_LIMIT_SECONDS = 600.0
TRIES = 3
ARGUMENTS = (
    *("-x", "-q", "--no-header", "-p", "no:cacheprovider"),
    # A mutant is one on every database; SQLite answers soonest.
    *("-k", "not postgresql and not mysql"),
    # Plugins that were imported before a fork are not rewritten, and need not be.
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
)


class Verdict(StrEnum):
    """What the tests said of a mutant."""

    KILLED = "killed"
    TIMED_OUT = "killed by the time limit"
    SURVIVED = "survived"
    BROKEN = "not tested"
    """The tests fail already when nothing is changed, or there are none."""


@dataclass(slots=True)
class Copy:
    """A copy of the package, in which one module at a time is changed."""

    folder: Path
    package: Path
    stamps: int = 0

    def source(self, module: str) -> str:
        return (self.package / module).read_text(encoding="utf-8")

    def write(self, module: str, source: str) -> None:
        path = self.package / module
        path.write_text(source, encoding="utf-8")
        # Compiled files are told apart by time and size, which may both be the same for two mutants.
        self.stamps += 1
        os.utime(path, (self.stamps * 10, self.stamps * 10))


@dataclass(slots=True)
class Bench:
    """A plugin of pytest: in place of the tests it runs them for each mutant of a set.

    `told` hears of each mutant its number, the verdict, and what failed. Number -1: of the untouched package.
    """

    copy: Copy
    mutants: Sequence[Mutant]
    told: Callable[[int, Verdict, str], None]
    _surveyed: Surveyed = field(default_factory=Surveyed)
    _killers: list[str] = field(default_factory=list)
    _failed: Path = field(init=False)

    def __post_init__(self) -> None:
        self._failed = self.copy.folder / "failed"

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Called by pytest when the tests are collected."""
        if session.testsfailed or not session.items:
            self.told(-1, Verdict.BROKEN, "the tests cannot be collected, or there are none")
            return True
        gc.collect()
        gc.freeze()
        # A test that depends on the time may fail once on a busy machine.
        if any(self._survey(session, is_last=number == TRIES) for number in range(1, TRIES + 1)):
            for number, mutant in enumerate(self.mutants):
                self._test(session, number, mutant)
        return True

    def _survey(self, session: pytest.Session, *, is_last: bool) -> bool:
        written = self.copy.folder / "survey"
        written.unlink(missing_ok=True)
        modules = sorted({one.module for one in self.mutants})
        # What a patch makes anew must do as well as what the imports made.
        sources = {module: self.copy.source(module) for module in modules}
        made_anew = {one.module for one in self.mutants if changes_values(sources[one.module], one.source)}

        def run() -> int:
            for module in made_anew:
                patch(self.copy.package, module, sources[module], sources[module], makes_anew=True)
            survey = Survey(self.copy.package, modules, written)
            session.config.pluginmanager.register(survey)
            code = self._run(session, session.items)
            survey.pytest_sessionfinish()
            return code

        verdict = self._forked(run, SURVEY_LIMIT_SECONDS)
        self._surveyed = read_survey(written)
        is_good = verdict is Verdict.SURVIVED
        if is_good or is_last:
            self.told(-1, verdict if is_good else Verdict.BROKEN, self._what_failed())
        return is_good

    def _test(self, session: pytest.Session, number: int, mutant: Mutant) -> None:
        before = self.copy.source(mutant.module)
        self.copy.write(mutant.module, mutant.source)
        covering = self._surveyed.order(mutant)
        first = [one for one in self._killers if one in covering]
        order = [*first, *(one for one in covering if one not in first)]
        by_name = {item.nodeid: item for item in session.items}
        # Nobody else can notice; only where nobody is known to run the lines, all are asked.
        items = [by_name[name] for name in order] or session.items

        def run() -> int:
            if mutant.is_anew:
                return self._anew(mutant.tests)
            try:
                patch(self.copy.package, mutant.module, before, mutant.source)
            except CannotPatch:
                return self._anew([item.nodeid for item in items])
            return self._run(session, items)

        verdict = self._forked(run, max(LEAST_LIMIT_SECONDS, LIMIT_FACTOR * self._surveyed.seconds))
        self.copy.write(mutant.module, before)
        failed = self._what_failed()
        killer = failed.partition("\n")[0]
        if verdict is Verdict.KILLED and killer:
            self._killers = [killer, *(one for one in self._killers if one != killer)][:8]
        self.told(number, verdict, failed)

    def _run(self, session: pytest.Session, items: Sequence[pytest.Item]) -> int:
        session.config.pluginmanager.register(_Failures(self._failed))
        for item, following in zip(items, [*items[1:], None], strict=True):
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.shouldfail or session.shouldstop:
                break
        return int(session.testsfailed > 0)

    def _anew(self, names: Sequence[str]) -> int:
        """In a process that imports the copy as it is now; only the exit code is told."""
        command = [
            sys.executable,
            "-m",
            "pytest",
            *ARGUMENTS,
            f"--basetemp={self.copy.folder / 'anew'}",
            *names,
        ]
        return int(subprocess.run(command, check=False).returncode != 0)  # noqa: S603 - pytest, on our own tests

    def _what_failed(self) -> str:
        return self._failed.read_text(encoding="utf-8") if self._failed.exists() else ""

    def _forked(self, run: Callable[[], int], limit_seconds: float) -> Verdict:
        self._failed.unlink(missing_ok=True)
        pid = os.fork()
        if pid == 0:
            _run_as_child(run, self._failed)
        with _ended_with(pid):
            return _awaited(pid, limit_seconds)


class _Failures:
    """A plugin of pytest that writes down the first test that failed, and how."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called by pytest."""
        if report.failed and not self._path.exists():
            self._path.write_text(f"{report.nodeid}\n{report.longreprtext}", encoding="utf-8")


def _run_as_child(run: Callable[[], int], failed: Path) -> NoReturn:
    code = 1
    try:
        os.setpgid(0, 0)
        code = run()
    except BaseException:  # noqa: BLE001 - what a mutant raises where it is imported counts, and a fork may not go on
        failed.write_text(f"\n{traceback.format_exc()}", encoding="utf-8")
    finally:
        os._exit(code)


def _awaited(pid: int, limit_seconds: float) -> Verdict:
    until = time.monotonic() + limit_seconds
    pause = 0.005
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return Verdict.KILLED if os.waitstatus_to_exitcode(status) else Verdict.SURVIVED
        if time.monotonic() > until:
            os.killpg(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return Verdict.TIMED_OUT
        time.sleep(pause)
        pause = min(0.05, pause * 1.5)


class _ended_with:  # noqa: N801 - used as a statement
    """While a child runs, the end of this process is the child's too."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGTERM, self._end)

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def _end(self, *_: object) -> NoReturn:
        os.killpg(self._pid, signal.SIGKILL)
        os._exit(1)


def tell(path: Path) -> Callable[[int, Verdict, str], None]:
    """Writes what is told as lines, for the process that waits."""

    def told(number: int, verdict: Verdict, failed: str) -> None:
        with path.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps([number, verdict.value, failed]) + "\n")

    return told
