"""`chargehand secrets` and `chargehand audit` from the terminal: no value is an argument, and the chain is walked."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from chargehand.cli import audit
from chargehand.cli.exits import ExitCode
from chargehand.errors import InvalidInput
from tests.cli.service import Cli
from tests.domain.test_audit import a_chain

VALUE = "canary-of-the-terminal-41"


def test_a_secret_is_set_listed_and_deleted_and_all_of_it_is_in_the_audit(cli: Cli) -> None:
    made = cli.call("secrets", "set", "TRACKER_TOKEN", stdin=f"{VALUE}\n")
    listed = cli.call("secrets", "list")
    deleted = cli.call("secrets", "delete", "TRACKER_TOKEN")
    days = ("--since", "2020-01-31", "--until", "2200-01-31")
    entries = cli.call("audit", "list", "--object", "TRACKER_TOKEN", *days)
    exported = cli.call("audit", "export")
    verified = cli.call("audit", "verify", "--json")

    assert (made.returncode, made.stdout) == (0, "TRACKER_TOKEN: version 1\n"), made.stderr
    assert "TRACKER_TOKEN" in listed.stdout
    assert deleted.stdout == "deleted TRACKER_TOKEN\n"
    assert [line.split()[3] for line in entries.stdout.splitlines()[1:]] == ["secret.deleted", "secret.put"]
    told = json.loads(verified.stdout)
    assert (verified.returncode, told["whole"]) == (0, True)
    assert told["entries"] == len(exported.stdout.splitlines())
    for done in (made, listed, deleted, entries, exported, verified):
        assert VALUE not in done.stdout + done.stderr


def test_what_is_no_secret_is_refused_before_anything_is_asked(alone: Cli) -> None:
    short = alone.call("secrets", "set", "TOKEN", stdin="short\n")
    unnamed = alone.call("secrets", "set", "1st", stdin=VALUE)

    assert (short.returncode, unnamed.returncode) == (2, 2)
    assert "at least 8 characters" in short.stderr
    assert "begins with a letter" in unnamed.stderr
    assert not alone.data_dir.exists()


def exported(folder: Path, change: Callable[[list[str]], list[str]] = list) -> Path:
    lines = [json.dumps(entry.as_data()) for entry in a_chain()]
    file = folder / "audit.ndjson"
    file.write_text("\n".join(change(lines)) + "\n", encoding="utf-8")
    return file


async def test_exported_files_are_verified_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = exported(tmp_path, lambda lines: lines[:4]).rename(tmp_path / "first")
    second = exported(tmp_path, lambda lines: lines[4:])
    head = a_chain()[5].hash

    assert await audit.verify([first, second], [head], None, as_json=False) is ExitCode.OK

    assert capsys.readouterr().out == f"whole: 6 entries, head {head}\n"
    assert await audit.verify([second, first], [], None, as_json=False) is ExitCode.FAILED


Change = Callable[[list[str]], list[str]]
CHANGES: list[tuple[Change, str]] = [
    (lambda lines: [one.replace("task-3", "task-9") for one in lines], "entry 3 was changed"),
    (lambda lines: lines[:2] + lines[3:], "entry 4 comes after entry 2"),
    (lambda lines: [*lines[:2], "{}", *lines[2:]], "what follows entry 2 is no entry"),
    (lambda lines: [*lines[:2], "[" * 100_000], "what follows entry 2 is no entry"),
    (lambda lines: lines[:5], "no entry has the expected head"),
]


@pytest.mark.parametrize(("change", "told"), CHANGES)
async def test_the_first_entry_that_is_wrong_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Change, told: str
) -> None:
    file = exported(tmp_path, change)

    assert await audit.verify([file], [a_chain()[5].hash], None, as_json=False) is ExitCode.FAILED

    assert told in capsys.readouterr().err


async def test_what_is_no_head_and_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe\n")

    with pytest.raises(InvalidInput, match="64 hexadecimal digits"):
        await audit.verify([exported(tmp_path)], ["abc"], None, as_json=False)
    with pytest.raises(InvalidInput, match="no UTF-8 text"):
        await audit.verify([tmp_path / "binary"], [], None, as_json=False)


async def test_a_file_that_is_missing_or_holds_nothing_is_no_whole_audit(tmp_path: Path) -> None:
    """A failed export leaves such a file, and a nightly check must not pass it."""
    (tmp_path / "empty").touch()

    with pytest.raises(InvalidInput, match=r"there is no entry in .*empty"):
        await audit.verify([tmp_path / "empty"], [], None, as_json=False)
    with pytest.raises(InvalidInput, match=r"missing cannot be read: No such file"):
        await audit.verify([tmp_path / "missing"], [], None, as_json=False)
