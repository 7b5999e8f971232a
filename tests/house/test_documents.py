"""What the documents say is so: commands exist, links lead somewhere, decisions fit a page."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import dev
from chargehand.cli.main import app
from tests.house.tree import ROOT, shown, text_of, written_files

DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
DECISION_PARTS = ["Context", "Decision", "Consequences", "Measured"]
MAX_DECISION_LINES = 60


def documents() -> list[Path]:
    return list(written_files(".md"))


def test_every_link_between_documents_leads_to_a_file() -> None:
    broken: list[str] = []
    for document in documents():
        prose = re.sub(r"```.*?```|`[^`\n]*`", "", text_of(document), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", prose):
            if not re.match(r"[a-z]+:|#", target) and not (document.parent / target.split("#")[0]).exists():
                broken.append(f"{shown(document)}: {target}")

    assert broken == []


def commands_in_documents(first: str) -> list[str]:
    """Lines of shell examples, and of inline code, that call the program."""
    pattern = re.compile(rf"(?:^\s*(?:\$ )?|`){re.escape(first)} (?P<rest>[^`\n#|&>]*)", re.MULTILINE)
    shown_to_users = [
        path for path in documents() if path.is_relative_to(ROOT / "docs") or path.parent == ROOT
    ]
    return sorted(
        {match["rest"].strip() for path in shown_to_users for match in pattern.finditer(text_of(path))}
    )


def test_every_dev_command_in_the_documents_exists() -> None:
    unknown = {
        line
        for line in commands_in_documents("python3 dev.py")
        if line and line.split()[0] not in {*dev.COMMANDS, "--help"}
    }

    assert unknown == set()


def test_every_chargehand_command_and_option_in_the_documents_exists() -> None:
    helps: dict[tuple[str, ...], str | None] = {}
    wrong: list[str] = []
    for line in commands_in_documents("chargehand"):
        words = line.split()
        path = _command_path(words, helps)
        if words and not path and not words[0].startswith("-"):
            wrong.append(f"chargehand {line}: no such command")
        text = _known(path, helps) or ""
        missing = (
            {option.split("=")[0] for option in words if re.match(r"--?[a-z]", option)}
            - _options(text)
            - {"--help"}
        )
        if missing:
            wrong.append(f"chargehand {line}: no {', '.join(sorted(missing))}")

    assert wrong == []


def _command_path(words: list[str], helps: dict[tuple[str, ...], str | None]) -> tuple[str, ...]:
    """The words that name a command: as many from the first as the program has help for."""
    path: tuple[str, ...] = ()
    for word in words:
        longer = (*path, word)
        if not re.fullmatch(r"[a-z][a-z-]*", word) or not _listed(_known(path, helps) or "", word):
            break
        path = longer
    return path


def _known(path: tuple[str, ...], helps: dict[tuple[str, ...], str | None]) -> str | None:
    if path not in helps:
        helps[path] = _help(path)
    return helps[path]


def _listed(help_text: str, command: str) -> bool:
    return re.search(rf"^\W*{re.escape(command)}\s", help_text, re.MULTILINE) is not None


def _options(help_text: str) -> set[str]:
    return set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", help_text))


def _help(path: tuple[str, ...]) -> str | None:
    # In this process: a hundred interpreters would take a minute. Wide, so that no name is cut short.
    wide = {"COLUMNS": "200", "TERMINAL_WIDTH": "200", "NO_COLOR": "1"}
    done = CliRunner().invoke(app, [*path, "--help"], env=wide)
    return done.stdout if done.exit_code == 0 else None


def test_there_is_a_first_decision() -> None:
    assert DECISIONS


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_is_one_page_with_what_was_measured(decision: Path) -> None:
    text = text_of(decision)

    assert re.fullmatch(r"\d{4}-[a-z0-9-]+", decision.stem)
    assert len(text.splitlines()) <= MAX_DECISION_LINES
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == DECISION_PARTS


def test_decisions_are_numbered_without_gaps() -> None:
    assert [int(path.name[:4]) for path in DECISIONS] == list(range(1, len(DECISIONS) + 1))
