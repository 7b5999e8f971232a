"""Which tests run which lines of the guarded modules, and how long they take: who runs a line may notice its change.

Rule: what is not known here, such as what a test's own processes run, may let a mutant survive, and kills none.
"""

import json
import sys
import threading
import time
from collections.abc import Callable, Collection, Generator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from review.mutants.discovery import Mutant


@dataclass(frozen=True, slots=True)
class Touch:
    """What one test did when nothing was changed."""

    seconds: float
    lines: dict[str, frozenset[int]]
    """By module."""


@dataclass(slots=True)
class Surveyed:
    """What the tests of one set did, by their names."""

    touches: dict[str, Touch] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        return sum(one.seconds for one in self.touches.values())

    def order(self, mutant: Mutant) -> list[str]:
        """Those that run the changed lines, the quickest first; none where that is not known."""
        if "migrations/" in mutant.module:
            return []  # A database is made once for many tests.
        found = [
            (one.seconds, name)
            for name, one in self.touches.items()
            if not mutant.lines.isdisjoint(one.lines.get(mutant.module, ()))
        ]
        return [name for _, name in sorted(found)]


def read_survey(path: Path) -> Surveyed:
    """What `Survey` wrote; nothing where it wrote nothing."""
    if not path.exists():
        return Surveyed()
    touches: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return Surveyed(
        {
            name: Touch(seconds, {module: frozenset(lines) for module, lines in by_module.items()})
            for name, (seconds, by_module) in touches.items()
        }
    )


class Survey:
    """A plugin of pytest that writes down what each test runs of some modules of a package."""

    def __init__(self, package: Path, modules: Collection[str], written_to: Path) -> None:
        self._modules = {str(package / module): module for module in modules}
        self._written_to = written_to
        self._touches: dict[str, tuple[float, dict[str, list[int]]]] = {}
        # What one test has put into a cache would hide which lines the next one needs.
        self._forget: list[Callable[[], object]] = [
            value.cache_clear
            for name, module in list(sys.modules.items())
            if name.startswith(f"{package.name}.")
            for value in vars(module).values()
            if hasattr(value, "cache_clear")
        ]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Called by pytest around each test with its fixtures."""
        found: dict[str, set[int]] = {}
        modules = self._modules

        def on_call(frame: FrameType, _event: str, _argument: object) -> Any:
            module = modules.get(frame.f_code.co_filename)
            if module is None:
                return None
            lines = found.setdefault(module, set())

            def on_line(frame: FrameType, _event: str, _argument: object) -> Any:
                lines.add(frame.f_lineno)
                return on_line

            return on_line(frame, "", None)

        for forget in self._forget:
            forget()
        started = time.monotonic()
        threading.settrace(on_call)
        sys.settrace(on_call)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            threading.settrace(None)  # pyright: ignore[reportArgumentType] - documented: None ends it
            by_module = {module: sorted(lines) for module, lines in found.items()}
            self._touches[item.nodeid] = (time.monotonic() - started, by_module)

    def pytest_sessionfinish(self) -> None:
        """Called by pytest at the end."""
        self._written_to.write_text(json.dumps(self._touches), encoding="utf-8")
