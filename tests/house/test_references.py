"""The reference pages say what the code says: every error, setting, move and reason, no more and no less."""

import re
from pathlib import Path

import pytest

from chargehand.app.toolbox import open_toolbox
from chargehand.domain.audit import Action
from chargehand.domain.task import MOVES, Move, Reason, Status
from chargehand.errors import ChargehandError
from chargehand.models.failure import POLICIES, FailureKind
from chargehand.settings import Settings
from chargehand.testkit.script import Fault
from tests.house.tree import ROOT, text_of

REFERENCE = ROOT / "docs" / "reference"
COMPUTED_DEFAULTS = {
    "global_concurrency",
    "redis_url",
    "secrets_dir",
    "address_requests_per_second",
    "key_requests_per_second",
    "tenant_backlog_limit",
    "tenant_requests_per_second",
    "tenant_storage_bytes",
    "tenant_concurrency",
    "tenant_submits_per_second",
    "broker_url",
    "database_url",
    "data_dir",
    "sandbox",
    "storage_url",
    "agents_dir",
    "master_key",
    "master_key_file",
    "master_key_keyring",
    "issuers_file",
    "mcp_file",
    "model",
    "model_context_tokens",
    "policy_file",
    "retention_days",
    "skills_dir",
    "tenant_usd_per_day",
    "tenant_tokens_per_day",
}


def all_errors(root: type[ChargehandError]) -> list[type[ChargehandError]]:
    ours = [child for child in root.__subclasses__() if child.__module__ == root.__module__]
    return [root, *(error for child in ours for error in all_errors(child))]


ERRORS = all_errors(ChargehandError)


def rows(page: Path) -> dict[str, list[str]]:
    """The tables of a page: first cell, which is code, to the other cells."""
    lines = re.findall(r"^\| `([^`|]+)` \|(.+)\|$", text_of(page), re.MULTILINE)
    assert len(lines) == len({first for first, _ in lines}), f"{page.name} has two rows for one thing"
    return {first: [cell.strip() for cell in rest.split(" | ")] for first, rest in lines}


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: str(getattr(error, "code", error)))
def test_every_error_is_explained_with_its_code_and_status(error: type[ChargehandError]) -> None:
    explained = rows(REFERENCE / "errors.md")

    assert error.code in explained, f"no row for {error.code}: {error.__doc__}"
    assert explained[error.code][0] == str(error.status)
    assert len(explained[error.code][1]) > 20


def test_no_error_is_explained_that_does_not_exist() -> None:
    assert set(rows(REFERENCE / "errors.md")) == {error.code for error in ERRORS}


def test_no_two_errors_share_a_code() -> None:
    assert len({error.code for error in ERRORS}) == len(ERRORS)


def test_every_setting_is_listed_with_its_default() -> None:
    listed = rows(REFERENCE / "settings.md")

    assert set(listed) == {f"CHARGEHAND_{name.upper()}" for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        if name not in COMPUTED_DEFAULTS:
            found = field.get_default(call_default_factory=True)
            default = "[]" if found == () else format(found, "g" if field.annotation is float else "")
            assert listed[f"CHARGEHAND_{name.upper()}"][0] == f"`{default}`", name


def test_the_diagram_of_statuses_shows_the_moves_and_no_others() -> None:
    page = text_of(REFERENCE / "states.md")

    drawn = set(re.findall(r"^ +(\w+) --> (\w+): (\w+)$", page, re.MULTILINE))

    assert drawn == {
        (start.value, end.value, move.value) for move, (starts, end) in MOVES.items() for start in starts
    }
    assert f"[*] --> {Status.PENDING}: submit" in page


def test_every_move_and_every_reason_is_explained() -> None:
    explained = rows(REFERENCE / "states.md")

    assert set(explained) == {*(move.value for move in Move), *(reason.value for reason in Reason)}


def test_every_action_of_the_audit_is_listed_and_no_other() -> None:
    page = text_of(ROOT / "docs" / "operate" / "audit.md")
    table = re.findall(r"^\| (`.+?) \|", page, re.MULTILINE)

    listed = [name for cell in table for name in re.findall(r"`([^`]+)`", cell)]

    assert sorted(listed) == sorted(Action)


def test_every_tool_is_listed_with_its_risk_and_what_follows_a_crash(tmp_path: Path) -> None:
    settings = Settings(fetch_hosts=("docs.python.org",), skills_dir=tmp_path)
    tools = open_toolbox(settings).catalogue

    listed = rows(REFERENCE / "tools.md")

    assert {name: cells[:2] for name, cells in listed.items()} == {
        name: [tool.risk.value, tool.after_crash.value] for name, tool in tools.items()
    }
    assert all(len(cells[2]) > 20 for cells in listed.values())


def test_every_way_in_which_a_model_may_not_answer_is_explained_with_its_tries() -> None:
    explained = rows(REFERENCE / "models.md")

    assert set(explained) == {kind.value for kind in POLICIES}
    for kind, policy in POLICIES.items():
        tries = "none" if kind is FailureKind.NOT_ASKED else str(policy.tries)
        assert explained[kind.value][-1] == tries, kind


def test_every_fault_of_the_model_server_is_explained() -> None:
    page = text_of(REFERENCE / "model-server.md")

    told = set(re.findall(r"^\| `(\w+): \S+` \|", page, re.MULTILINE))

    assert told == set(Fault.model_fields) - {"message", "retry_after", "retry_after_as_date", "times"}
