"""Read and Write: what agents are shown, and what they may overwrite."""

import dataclasses
import os
from pathlib import Path

import pytest

from chargehand.domain.values import JsonValue
from chargehand.tools.base import ToolContext, call_tool
from chargehand.tools.files import MAX_LINE_CHARACTERS, MAX_PAGE_CHARACTERS, MAX_PAGE_LINES
from chargehand.tools.ledger import ReadLedger
from chargehand.tools.sandbox.base import SandboxLimits
from tests.tools.conftest import TOOLS, Call


async def test_read_shows_numbered_lines_and_what_was_seen(call: Call, folder: Path) -> None:
    (folder / "a.txt").write_text("one\n\ttwo\n\nfour", encoding="utf-8")

    result = await call("Read", file_path="/workspace/a.txt")

    assert result.content == "     1\tone\n     2\t\ttwo\n     3\t\n     4\tfour"
    assert result.details["path"] == "a.txt"
    assert result.details["lines"] == 4
    assert result.details["is_partial"] is False


async def test_read_takes_the_workspaces_own_absolute_path(call: Call, folder: Path) -> None:
    (folder / "a.txt").write_text("one\n", encoding="utf-8")

    result = await call("Read", file_path=str(folder / "a.txt"))

    assert result.content == "     1\tone"
    assert str(folder) not in str(result.details)


@pytest.mark.parametrize(
    ("offset", "limit", "numbers"), [(1, 2, [1, 2]), (0, 1, [1]), (4, 9, [4, 5]), (3, None, [3, 4, 5])]
)
async def test_read_shows_the_lines_asked_for(
    call: Call, folder: Path, offset: int, limit: int | None, numbers: list[int]
) -> None:
    (folder / "a.txt").write_text("".join(f"line {n}\n" for n in range(1, 6)), encoding="utf-8")

    result = await call("Read", file_path="a.txt", offset=offset, limit=limit)

    assert result.content.split("\n") == [f"{n:6}\tline {n}" for n in numbers]
    assert (result.details["first_line"], result.details["last_line"]) == (numbers[0], numbers[-1])


async def test_read_says_that_a_file_is_empty_or_ends_before_the_offset(call: Call, folder: Path) -> None:
    (folder / "empty").write_bytes(b"")
    (folder / "a.txt").write_bytes(b"one\ntwo\n")

    assert (await call("Read", file_path="empty")).content == "[empty is empty]"
    past = await call("Read", file_path="a.txt", offset=3)
    assert past.content == "[a.txt has 2 lines; there is nothing from line 3 on]"
    assert not past.is_error


async def test_read_of_a_long_file_shows_one_page_and_where_to_go_on(call: Call, folder: Path) -> None:
    (folder / "long.txt").write_text("x\n" * (MAX_PAGE_LINES + 7), encoding="utf-8")

    first = await call("Read", file_path="long.txt")
    rest = await call("Read", file_path="long.txt", offset=MAX_PAGE_LINES + 1)

    assert first.content.endswith("[PARTIAL view: lines 1 to 2000 of 2007; go on with offset=2001]")
    assert first.details["is_partial"] is True
    assert len(rest.content.split("\n")) == 7


async def test_read_keeps_a_page_of_long_lines_within_its_size(call: Call, folder: Path) -> None:
    (folder / "wide.txt").write_text(("y" * 3_000 + "\n") * 200, encoding="utf-8")

    page = await call("Read", file_path="wide.txt")
    too_much = await call("Read", file_path="wide.txt", limit=200)

    assert f"{'y' * MAX_LINE_CHARACTERS} [cut: 1,000 more characters]" in page.content
    assert len(page.content) < MAX_PAGE_CHARACTERS * 1.1
    assert "PARTIAL view" in page.content
    assert too_much.is_error
    assert "ask for 49 lines at most" in too_much.content


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"ab\x00cd", "binary file of 5 bytes"),
        ("hé".encode("utf-16"), "UTF-16"),
        (b"\x89PNG\x00", "binary"),
    ],
)
async def test_read_refuses_what_is_no_text(call: Call, folder: Path, data: bytes, reason: str) -> None:
    (folder / "a.bin").write_bytes(data)

    result = await call("Read", file_path="a.bin")

    assert result.is_error
    assert reason in result.content


async def test_read_shows_text_of_another_encoding_and_says_so(call: Call, folder: Path) -> None:
    (folder / "old.txt").write_bytes(b"caf\xe9\n")

    result = await call("Read", file_path="old.txt")

    assert result.content.startswith("     1\tcaf\ufffd\n[not UTF-8")


async def test_read_hides_the_line_ends_and_the_mark_of_windows(call: Call, folder: Path) -> None:
    (folder / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n")

    assert (await call("Read", file_path="a.txt")).content == "     1\tone\n     2\ttwo"


async def test_read_of_a_missing_file_names_those_called_nearly_so(call: Call, folder: Path) -> None:
    (folder / "src").mkdir()
    (folder / "src" / "server.py").write_bytes(b"")

    near = await call("Read", file_path="src/sevrer.py")
    no_folder = await call("Read", file_path="nope/x.py")

    assert near.content == "'src/sevrer.py': there is no such file or folder; did you mean 'src/server.py'?"
    assert near.details == {"code": "file_missing"}
    assert "find the file with Glob" in no_folder.content


async def test_read_of_a_folder_says_to_list_it(call: Call, folder: Path) -> None:
    (folder / "src").mkdir()

    assert "list it with Glob" in (await call("Read", file_path="src")).content


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret.txt", "link.txt"])
async def test_read_of_what_lies_outside_is_refused(
    call: Call, folder: Path, outside: Path, path: str
) -> None:
    (folder / "link.txt").symlink_to(outside)

    result = await call("Read", file_path=path)

    assert result.is_error
    assert result.details == {"code": "path_refused"}
    assert "the secret" not in result.content


async def test_the_services_folder_is_read_but_not_written(call: Call, folder: Path) -> None:
    (folder / ".chargehand").mkdir()
    (folder / ".chargehand" / "notes").write_bytes(b"kept\n")

    assert (await call("Read", file_path=".chargehand/notes")).content == "     1\tkept"
    for tool, more in (
        ("Write", {"content": "x"}),
        ("Edit", {"old_string": "kept", "new_string": "x"}),
        ("MultiEdit", {"edits": [{"old_string": "kept", "new_string": "x"}]}),
    ):
        refused = await call(tool, file_path=".Chargehand/notes", **more)
        assert refused.details == {"code": "path_refused"}
    assert (folder / ".chargehand" / "notes").read_bytes() == b"kept\n"


async def test_write_creates_a_file_and_the_folders_above_it(call: Call, folder: Path) -> None:
    result = await call("Write", file_path="src/app/main.py", content="print('é')\n")

    assert result.content == "Created src/app/main.py (1 lines, 12 bytes)."
    assert result.details["created"] is True
    assert (folder / "src" / "app" / "main.py").read_bytes() == "print('é')\n".encode()


async def test_write_over_a_file_that_was_not_read_is_refused(call: Call, folder: Path) -> None:
    (folder / "a.txt").write_bytes(b"precious")

    result = await call("Write", file_path="a.txt", content="x")

    assert result.is_error
    assert "read it before overwriting it" in result.content
    assert (folder / "a.txt").read_bytes() == b"precious"


async def test_write_over_a_file_that_was_read_or_written_by_the_task_is_done(
    call: Call, folder: Path
) -> None:
    (folder / "a.txt").write_bytes(b"one")

    await call("Read", file_path="a.txt")
    assert (await call("Write", file_path="a.txt", content="two")).content.startswith("Replaced a.txt")
    assert not (await call("Write", file_path="/workspace/a.txt", content="three")).is_error
    assert (folder / "a.txt").read_bytes() == b"three"


@pytest.mark.parametrize("change", [b"oNe", b"one more"])
async def test_write_over_a_file_that_changed_since_it_was_read_is_refused(
    call: Call, folder: Path, change: bytes
) -> None:
    (folder / "a.txt").write_bytes(b"one")
    await call("Read", file_path="a.txt")
    before = (folder / "a.txt").stat()
    (folder / "a.txt").write_bytes(change)
    os.utime(folder / "a.txt", ns=(before.st_atime_ns, before.st_mtime_ns))

    result = await call("Write", file_path="a.txt", content="two")

    assert result.details == {"code": "file_changed"}
    assert (folder / "a.txt").read_bytes() == change


async def test_write_over_a_file_that_was_only_touched_is_done(call: Call, folder: Path) -> None:
    (folder / "a.txt").write_bytes(b"one")
    await call("Read", file_path="a.txt")
    os.utime(folder / "a.txt", ns=(1, 1))

    assert not (await call("Write", file_path="a.txt", content="two")).is_error


async def test_write_of_an_empty_file_that_was_not_read_is_done(call: Call, folder: Path) -> None:
    (folder / "a.txt").write_bytes(b"")

    assert not (await call("Write", file_path="a.txt", content="x")).is_error


async def test_a_write_that_runs_again_after_a_crash_finds_its_work_done(
    call: Call, context: ToolContext, folder: Path
) -> None:
    await call("Write", file_path="a.txt", content="x")
    before = (folder / "a.txt").stat()
    after_a_crash = dataclasses.replace(context, reads=ReadLedger())

    again = await call_tool(TOOLS, after_a_crash, "Write", {"file_path": "a.txt", "content": "x"})

    assert not again.is_error
    assert again.content.startswith("Unchanged: a.txt")
    assert (folder / "a.txt").stat().st_ino == before.st_ino


async def test_a_ledger_learns_from_kept_results_what_the_task_has_seen(
    call: Call, context: ToolContext, folder: Path
) -> None:
    (folder / "a.txt").write_bytes(b"one")
    kept = await call("Read", file_path="a.txt")
    rebuilt = ReadLedger()
    rebuilt.learn(kept.details)

    after_a_crash = dataclasses.replace(context, reads=rebuilt)
    result = await call_tool(TOOLS, after_a_crash, "Write", {"file_path": "a.txt", "content": "two"})

    assert not result.is_error


async def test_a_playbook_may_overwrite_what_it_has_not_read(context: ToolContext, folder: Path) -> None:
    (folder / "a.txt").write_bytes(b"one")
    trusting = dataclasses.replace(context, reads=ReadLedger(enforced=False))

    result = await call_tool(TOOLS, trusting, "Write", {"file_path": "a.txt", "content": "two"})

    assert not result.is_error
    assert (folder / "a.txt").read_bytes() == b"two"


async def test_write_of_more_than_a_file_may_hold_is_refused(context: ToolContext) -> None:
    small = dataclasses.replace(context, limits=SandboxLimits(file_bytes=10))

    result = await call_tool(TOOLS, small, "Write", {"file_path": "a.txt", "content": "é" * 6})

    assert "the content has 12 bytes; a file may have 10" in result.content


@pytest.mark.parametrize("path", ["/etc/x", "../x", "sub/../../x", ".", ".git/hooks/x", "nul", "up/x"])
async def test_write_outside_or_to_a_name_that_is_kept_is_refused(
    call: Call, folder: Path, outside: Path, path: str
) -> None:
    (folder / "up").symlink_to("..")

    result = await call("Write", file_path=path, content="x")

    assert result.details == {"code": "path_refused"}
    assert sorted(entry.name for entry in outside.parent.iterdir()) == ["secret.txt", "workspace"]


@pytest.mark.parametrize("tool", ["Read", "Write"])
@pytest.mark.parametrize("path", [None, 5, ["a"], ""])
async def test_a_path_that_is_none_is_refused(call: Call, tool: str, path: JsonValue) -> None:
    more = {"content": "x"} if tool == "Write" else {}

    assert (await call(tool, file_path=path, **more)).is_error


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\x89PNG\r\n\x1a\n...", "'a.bin' is a PNG image of 11 bytes, which is not shown here"),
        (b"\xff\xd8\xff\xe0", "a JPEG image"),
        (b"%PDF-1.7\n", "get its text with Bash (pdftotext)"),
    ],
)
async def test_images_and_documents_are_refused_by_their_kind(
    call: Call, folder: Path, data: bytes, told: str
) -> None:
    (folder / "a.bin").write_bytes(data)

    result = await call("Read", file_path="a.bin")

    assert result.is_error
    assert told in result.content


async def test_a_notebook_is_shown_as_the_text_that_an_edit_can_change(call: Call, folder: Path) -> None:
    (folder / "a.ipynb").write_text('{\n "cells": []\n}\n', encoding="utf-8")

    assert '     2\t "cells": []' in (await call("Read", file_path="a.ipynb")).content
