"""The part `security`: a sound service passes the audit, and one with a hole does not."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.crew.projects import RUNNING, bookstore, run, tiny, write

PARTS = (*RUNNING, "security")


def results_of(project: Path) -> dict[str, Any]:
    return json.loads((project / "security/results.json").read_text(encoding="utf-8"))


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path.name} has no {old!r}"
    path.write_text(text.replace(old, new), encoding="utf-8", newline="\n")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = write(bookstore(), tmp_path_factory.mktemp("sound"), *PARTS)
    done = run(project, "security/audit.py")
    assert done.returncode == 0, done.stdout + done.stderr
    return project


@pytest.fixture(scope="module")
def holed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service that lets anybody create authors, shows everybody's loans, and carries a key."""
    project = write(bookstore(), tmp_path_factory.mktemp("holed"), *PARTS)
    package = project / "src/bookstore"
    replace(package / "routers/author.py", 'Depends(allow("author.create"))', "")
    replace(package / "services/loan.py", "if caller.own_only else statement", "if False else statement")
    replace(package / "middleware.py", '"X-Frame-Options": "DENY",', "")
    replace(package / "auth/tokens.py", 'claims["role"]', 'claims["role"] or eval("0")')
    (project / "notes.txt").write_text("deploy with AKIAABCDEFGHIJKLMNOP\n", encoding="utf-8")
    done = run(project, "security/audit.py")
    assert done.returncode == 1, done.stdout + done.stderr
    return project


def titles_of(project: Path, severity: str) -> set[str]:
    checks = results_of(project)["checks"]
    return {one["title"] for check in checks for one in check["findings"] if one["severity"] == severity}


def test_a_sound_service_has_no_grave_finding(sound: Path) -> None:
    assert titles_of(sound, "high") == set()
    assert titles_of(sound, "medium") == set()


def test_every_operation_is_probed_as_nobody_and_as_every_role(sound: Path) -> None:
    probes = results_of(sound)["permissions"]

    operations = {each["operation"] for each in probes}
    assert operations == {
        f"{each.name}.{name}" for each in bookstore().resources for name in each.all_operations
    }
    assert {"nobody", "librarian", "member", "member, own row", "member, another's row"} == {
        each["who"] for each in probes
    }
    assert all(each["holds"] for each in probes)


def test_the_report_names_what_was_seen_and_what_was_not_checked(sound: Path) -> None:
    page = (sound / "docs/security.md").read_text(encoding="utf-8")

    assert "## Who may do what" in page
    assert "| `loan.hand-out` | 401 | ✓ | 403 |" in page
    assert "pip-audit" in page
    assert "scrypt" in page


def test_an_operation_without_its_guard_is_found(holed: Path) -> None:
    assert {"author.create as nobody", "author.create as member"} <= titles_of(holed, "high")


def test_rows_of_others_that_are_shown_are_found(holed: Path) -> None:
    found = titles_of(holed, "high")

    assert {"loan.list as member, another's row", "loan.get as member, another's row"} <= found
    assert "member.get as member, another's row" not in found


def test_a_key_in_the_project_dangerous_code_and_a_missing_header_are_found(holed: Path) -> None:
    assert "an access key of a cloud in the project" in titles_of(holed, "high")
    assert any("eval" in title for title in titles_of(holed, "high"))
    assert "no header x-frame-options: DENY" in titles_of(holed, "medium")


def test_a_service_that_is_open_to_everybody_is_audited_too(tmp_path: Path) -> None:
    project = write(tiny(), tmp_path, *PARTS)

    done = run(project, "security/audit.py")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "open to everybody" in (project / "docs/security.md").read_text(encoding="utf-8")
