"""The laboratory of mutants tells a guard that a test holds from one that none holds."""

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from review.mutants import equivalent, guards
from review.mutants.__main__ import CANNOT_BEGIN, SURVIVED
from review.mutants.discovery import (
    GuardMissing,
    Mutant,
    Part,
    doors,
    mutants_of,
    scope_checks,
    tenant_filters,
    walls,
)
from review.mutants.operators import Kind
from review.mutants.patching import CannotPatch, patch

GUARD = """
def may(age: int, name: str) -> bool:
    if not name:
        raise ValueError("no name")
    return age >= 18 and name != "nobody"
"""
TESTS = """
import pytest
from planted_package.guard import may

def test_it():
    assert may(18, "a") and not may(17, "a")
    with pytest.raises(ValueError):
        may(20, "")
"""


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """A package with one guard, of which its test holds all but the name `nobody`."""
    package = tmp_path / "src" / "planted_package"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "guard.py").write_text(GUARD)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_guard.py").write_text(TESTS)
    return package


def of(package: Path, scope: str = "may", kind: Kind = Kind.LOGIC) -> list[Mutant]:
    return list(
        mutants_of(
            package, "age", [Part(module="guard.py", scopes=(scope,), tests=("test_guard.py",), kind=kind)]
        )
    )


@pytest.mark.skipif(sys.platform == "win32", reason="it needs fork")
def test_a_mutant_that_no_test_notices_is_told_and_ends_the_run_badly(planted: Path) -> None:
    before = (planted / "guard.py").read_text()

    code, told = ran(planted)

    survivors = [line for line in told.splitlines() if line.startswith("survived: ")]
    assert code == SURVIVED, told
    assert any("becomes `age >= 18`" in line for line in survivors)
    assert not any("passed over" in line for line in survivors)
    assert (planted / "guard.py").read_text() == before


@pytest.mark.skipif(sys.platform == "win32", reason="it needs fork")
def test_where_the_tests_fail_already_nothing_is_concluded(planted: Path) -> None:
    (planted.parents[1] / "test_guard.py").write_text("def test_it(): assert 0")

    code, told = ran(planted)

    assert code == CANNOT_BEGIN
    assert "these fail already" in told


RUN = """
import sys
from pathlib import Path
from review.mutants import running
from review.mutants.__main__ import run
from tests.review.test_mutants import of

running.PRELOADED = ()
package = Path(sys.argv[1])
wanted = [one for one in of(package) if "and" in one.told or "over" in one.told]
sys.exit(run(wanted, package, package.parents[1], jobs=2))
"""


def ran(package: Path) -> tuple[int, str]:
    """A run in a process of its own, which is forked from; its code and all that it said."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(package)],
        cwd=guards.ROOT,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout


def test_conditions_are_turned_dropped_and_passed_over(planted: Path) -> None:
    told = {one.told for one in of(planted)}

    assert told == {
        "`if not name` is passed over",
        "`not name` becomes `name`",
        "`age >= 18 and name != 'nobody'` becomes `name != 'nobody'`",
        "`age >= 18 and name != 'nobody'` becomes `age >= 18`",
        "`age >= 18` becomes `age > 18`",
        "`name != 'nobody'` becomes `name == 'nobody'`",
    }


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("def f(a): return select(x).where(a == 1, x.b == 2)", "`where` loses `x.b == 2`"),
        ("def f(a): return hmac.compare_digest(a, b)", "`hmac.compare_digest(a, b)` is true"),
        ("def f(a):\n    who.require(a)\n    return 1", "`who.require(a)` is left out"),
        ("async def f(a):\n    await held_or_lost(a)\n    return 1", "`await held_or_lost(a)` is left out"),
        ("def f(a): return any(a)", "`any` becomes `all`"),
        ("f = of(seen={'a': 1, 'b': 2})", "`seen` loses `'b'`"),
        (
            "def f(a):\n    try: g()\n    except E as e:\n        raise X from e",
            "`raise X from e` is left out",
        ),
        ("def f(a): return min(a, 1)", "`min` becomes `max`"),
        ("def f(a): return a - 1", "`a - 1` becomes `a + 1`"),
        ("f = ('10.0.0.0/8', '127.0.0.0/8')", "the list loses `'127.0.0.0/8'`"),
        ("f = os.O_RDONLY | os.O_NOFOLLOW", "`os.O_RDONLY | os.O_NOFOLLOW` becomes `os.O_RDONLY`"),
        ("def f(a): return g(a, follow=False)", "`follow=False` is turned"),
        ("def f(a, b): return f'{a}.{b}'.encode()", "`f'{a}.{b}'` loses `b`"),
        ("def f(a, b): return a + b", "`a + b` becomes `a`"),
        ("def f(a): return [g(one) for one in a]", "only the first of `a`"),
        ("def f(a): return {'id': a, 'at': 1}", "the answer loses `'at'`"),
        ("async def f(a):\n    await tx.execute(a)\n    return 1", "`await tx.execute(a)` is left out"),
        ("f = 'tenant = ' + OWN", "`'tenant = ' + OWN` is true"),
    ],
)
def test_each_way_of_weakening_is_known(tmp_path: Path, code: str, told: str) -> None:
    (tmp_path / "guard.py").write_text(code)

    assert told in {one.told for one in of(tmp_path, "f", ~Kind(0))}


def test_a_patch_reaches_functions_values_and_whoever_imported_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "patched_package"
    package.mkdir()
    before = (
        "LIMITS = (1, 2)\nclass A:\n    b = 1\n    def m(self): return 1\ndef first(): return LIMITS[0]\n"
    )
    (package / "__init__.py").touch()
    (package / "guard.py").write_text(before)
    (package / "user.py").write_text("from patched_package.guard import LIMITS, A, first\n")
    monkeypatch.syspath_prepend(str(tmp_path))  # pyright: ignore[reportUnknownMemberType] - pytest's own types
    user: Any = importlib.import_module("patched_package.user")
    one = user.A()

    patch(package, "guard.py", before, before.replace("return 1", "return 2"))
    assert (one.m(), user.first()) == (2, 1)
    patch(package, "guard.py", before, before.replace("(1, 2)", "(2,)"))
    assert (one.m(), user.first(), user.LIMITS) == (1, 2, (2,))
    with pytest.raises(CannotPatch):
        patch(package, "guard.py", before, before.replace("b = 1", "b = 2"))
    patch(package, "not_imported.py", before, "")


def test_a_guard_that_is_gone_is_told(planted: Path) -> None:
    with pytest.raises(GuardMissing, match=r"guard\.py has no gone"):
        of(planted, "gone")


def test_tenant_filters_and_scope_checks_are_found_by_themselves(tmp_path: Path) -> None:
    for room in ("store", "service"):
        (tmp_path / room).mkdir()
    (tmp_path / "store" / "new.py").write_text(
        "async def f(tx, t): return select(A).where(A.tenant == t, A.x == 1)"
    )
    (tmp_path / "service" / "new.py").write_text(
        "async def g(who, x):\n    who.require(S)\n    if x is None or x.tenant != who.tenant:\n        raise E\n"
    )
    tests = {"store/new.py": ("tests/x.py",), "service/new.py": ("tests/x.py",)}

    filters = [str(one) for one in tenant_filters(tmp_path, "tenant filter", tests, tmp_path)]
    checks = [str(one) for one in scope_checks(tmp_path, "scope check", ("tests/x.py",))]

    assert filters == [
        "store/new.py:1 f: `A.tenant == t` is always true",
        "service/new.py:3 g: `x.tenant != who.tenant` is always false",
    ]
    assert checks == ["service/new.py:2 g: `who.require(S)` is left out"]
    with pytest.raises(GuardMissing, match=r"store/new\.py holds guards"):
        list(tenant_filters(tmp_path, "tenant filter", {}, tmp_path))


def test_doors_and_walls_are_found_by_themselves(tmp_path: Path) -> None:
    versions = tmp_path / "store" / "migrations" / "versions"
    versions.mkdir(parents=True)
    (tmp_path / "service").mkdir()
    (tmp_path / "service" / "new.py").write_text(
        "async def f(self, who):\n    async with self.db.read(who.tenant) as tx: pass\n"
        "    async with self.db.write() as tx: pass\n"
    )
    (versions / "0001.py").write_text("def upgrade():\n    wall_off('a', 'b')\n")

    assert [str(one) for one in doors(tmp_path, "tenant filter", ())] == [
        "service/new.py:2 f: `self.db.read(who.tenant)` is opened for every tenant"
    ]
    assert [one.source.splitlines()[1].strip() for one in walls(tmp_path, "tenant filter", ())] == [
        "wall_off('b')",
        "wall_off('a')",
    ]


def test_who_runs_a_value_is_who_runs_what_uses_it(tmp_path: Path) -> None:
    (tmp_path / "guard.py").write_text(
        "A = ('x', 'y')\n_ALL = (*A, 'z')\n\ndef f(a):\n    return a in _ALL\n\ndef g(a):\n    return not a\n"
    )

    lines = {one.told: one.lines for one in of(tmp_path, "A", Kind.ELEMENTS)}

    assert lines == {"the list loses `'x'`": {1, 2, 5}, "the list loses `'y'`": {1, 2, 5}}


@pytest.fixture(scope="module")
def everything() -> list[Mutant]:
    return list(guards.all_mutants())


def test_every_guard_has_mutants_and_tests_that_exist(everything: list[Mutant]) -> None:
    assert {one.guard for one in everything} == set(guards.GUARDS)
    assert {test for one in everything for test in one.tests if not (guards.ROOT / test).is_file()} == set()


def test_what_is_said_to_change_nothing_is_a_mutant_and_has_a_reason(everything: list[Mutant]) -> None:
    assert equivalent.EQUIVALENT.keys() <= {one.key for one in everything}
    assert [key for key, reason in equivalent.EQUIVALENT.items() if len(reason.split()) < 4] == []
