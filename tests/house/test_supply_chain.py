"""The bill of materials holds every pin, and an audit that could not ask is no clean one. Nothing is asked here."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from scripts import audit, lock
from scripts.audit import CLEAN, CONTROL, UNREACHABLE, VULNERABLE, Answer
from scripts.environment import LOCKS
from scripts.packages import locked
from tests.house.tree import ROOT, text_of


@pytest.fixture(scope="module")
def bill(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("sbom") / "chargehand.cdx.json"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "scripts.sbom", str(path)],
        cwd=ROOT, capture_output=True, encoding="utf-8", check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(text_of(path))


def test_the_bill_holds_every_pin_of_the_lock_with_its_hashes_and_nothing_else(bill: dict[str, Any]) -> None:
    pins = locked(LOCKS["run"])
    components = {one["name"]: one for one in bill["components"]}

    assert len(pins) == text_of(LOCKS["run"]).count("\n    # via") > 100
    assert {name: one["version"] for name, one in components.items()} == {
        name: one.version for name, one in pins.items()
    }
    for name, one in components.items():
        assert one["purl"] == f"pkg:pypi/{name}@{pins[name].version}"
        hashes = [each["value"] for each in one["properties"] if each["name"] == "chargehand:sha256"]
        assert sorted(hashes) == sorted(pins[name].hashes)
        assert hashes


def test_the_bill_names_us_and_who_needs_what(bill: dict[str, Any]) -> None:
    us = bill["metadata"]["component"]
    needs = {one["ref"]: set(one.get("dependsOn", ())) for one in bill["dependencies"]}

    assert (us["name"], bill["specVersion"]) == ("chargehand", "1.6")
    assert {one.partition("==")[0] for one in needs["chargehand"]} >= {"fastapi", "sqlalchemy", "uvicorn"}
    [fastapi] = [one for one in needs if one.startswith("fastapi==")]
    assert any(one.startswith("starlette==") for one in needs[fastapi])
    reached, pending = {"chargehand"}, ["chargehand"]
    while pending:
        for one in needs[pending.pop()] - reached:
            reached.add(one)
            pending.append(one)
    assert reached == needs.keys(), "somebody is there whom nobody needs"


DEPENDENCY = {"name": "jinja2", "version": "2.4.1", "vulns": [{"id": "PYSEC-1"}]}


def told(*dependencies: dict[str, Any]) -> str:
    return json.dumps({"dependencies": dependencies, "fixes": []})


@pytest.mark.parametrize(
    ("output", "count"),
    [
        ("", 1),
        ("no known vulnerabilities", 1),
        (told(), 1),
        (told(DEPENDENCY), 2),
        ('{"dependencies": null}', 1),
    ],
)
def test_an_answer_that_is_none_or_not_for_all_is_a_reason_and_not_clean(output: str, count: int) -> None:
    found = audit.read(output, "WARNING: x\nERROR: no network", 1, asked_for=count)

    assert found.reason
    assert found.vulnerable == {}


def test_a_package_that_was_skipped_is_a_reason() -> None:
    found = audit.read(told({"name": "x", "skip_reason": "not on the index"}), "", 0, asked_for=1)

    assert "not ['x']" in found.reason


def test_advisories_are_read_by_package() -> None:
    clean: dict[str, Any] = {"name": "x", "version": "1", "vulns": []}

    assert audit.read(told(DEPENDENCY, clean), "", 1, asked_for=2) == Answer(
        vulnerable={"jinja2 2.4.1": ["PYSEC-1"]}
    )


@pytest.mark.parametrize(
    ("control", "found", "code", "said"),
    [
        (Answer(vulnerable={}, reason="no network"), None, UNREACHABLE, "could not be had"),
        # An index without advisories: pip-audit by itself would call everything clean.
        (Answer(vulnerable={}), None, UNREACHABLE, "knows no advisory"),
        (
            Answer(vulnerable={"jinja2 2.4.1": ["A"]}),
            Answer(vulnerable={}, reason="cut off"),
            UNREACHABLE,
            "cut off",
        ),
        (Answer(vulnerable={"jinja2 2.4.1": ["A"]}), Answer(vulnerable={}), CLEAN, "0 with known"),
        (Answer(vulnerable={"jinja2 2.4.1": ["A"]}), Answer(vulnerable={"x 1": ["B"]}), VULNERABLE, "x 1: B"),
    ],
)
def test_clean_vulnerable_and_unreachable_are_three_endings(
    control: Answer,
    found: Answer | None,
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[dict[str, str]] = []

    def answer(pins: dict[str, str], _: object) -> Answer:
        asked.append(pins)
        if pins == CONTROL:
            return control
        assert found is not None, "nothing is asked after the control failed"
        return found

    monkeypatch.setattr(audit, "asked", answer)
    monkeypatch.setattr(audit.environment, "ensure", str)

    assert audit.audit([]) == code
    assert said in capsys.readouterr().err
    if found is not None:
        assert asked[1].keys() == locked(LOCKS["run"]).keys() | locked(LOCKS["dev"]).keys()


def test_files_younger_than_a_week_are_not_locked_unless_somebody_says_so() -> None:
    now = datetime(2030, 1, 31, 12, tzinfo=UTC)

    assert lock.cooling(["--upgrade"], now) == ["--exclude-newer", "2030-01-24T12:00:00Z"]
    assert lock.cooling(["--exclude-newer-package", "x=2030-01-31"], now) == lock.cooling([], now)
    assert lock.cooling(["--exclude-newer", "2030-01-31"], now) == []
    assert lock.cooling(["--exclude-newer=2030-01-31"], now) == []


def test_no_installed_package_runs_code_at_every_start_but_those_that_are_known() -> None:
    """A `.pth` with an import line is how a package was turned against those who installed it."""
    places = {Path(one) for one in sys.path if one.endswith("site-packages")}
    starters = {
        path.name
        for place in places
        for path in place.glob("*.pth")
        if any(
            line.startswith(("import ", "import\t"))
            for line in path.read_text("utf-8", "replace").splitlines()
        )
    }

    assert starters <= {"distutils-precedence.pth", "a1_coverage.pth", "pywin32.pth", "_virtualenv.pth"}
