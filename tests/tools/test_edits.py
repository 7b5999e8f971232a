"""Edit and MultiEdit: a replacement is exact and unambiguous, or is not made."""

import asyncio
import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargehand.errors import ToolError
from chargehand.tools.base import ToolContext, call_tool
from chargehand.tools.edits import Replacement, replace_all
from chargehand.tools.ledger import ReadLedger
from chargehand.tools.paths import LogicalPath
from chargehand.tools.text import decode_exact
from tests.tools.conftest import TOOLS, Call


def edited(text: str, old: str, new: str, *, everywhere: bool = False, only_unique: bool = False) -> str:
    replacement = Replacement(old=old, new=new, everywhere=everywhere)
    return replace_all(text, [replacement], only_unique=only_unique).text


def test_the_only_occurrence_is_replaced() -> None:
    assert edited("one two three", "two", "2") == "one 2 three"


def test_all_occurrences_are_replaced_when_all_are_meant() -> None:
    result = replace_all("a b a", [Replacement(old="a", new="aa", everywhere=True)], only_unique=False)

    assert (result.text, result.replacements) == ("aa b aa", 2)


@pytest.mark.parametrize("pattern", [".", "o.e", "(", "\\"])
def test_the_old_text_is_no_pattern(pattern: str) -> None:
    with pytest.raises(ToolError, match="old_string is not in the file"):
        edited("one", pattern, "x")


@pytest.mark.parametrize(
    ("text", "old", "reason"),
    [
        ("a\nb\na\n", "a", r"more than once \(lines 1, 3\); add lines around it"),
        ("aaa", "aa", r"more than once \(lines 1, 1\)"),
        ("x\n" * 9, "x", r"lines 1, 2, 3, 4, 5 and more"),
        ("abc", "", "old_string is empty but the file is not"),
        ("abc", "new", "are the same; nothing would change"),
        ("  one\n    two\n", "one\n  two", "at line 1 the same words stand with other spaces"),
        ("one\ntwo\n", "     1\tone\n     2\ttwo", "leave out the line numbers"),
        ("one", "four", "copy the text exactly"),
    ],
)
def test_what_is_not_exact_and_unique_is_refused_with_the_way_out(text: str, old: str, reason: str) -> None:
    with pytest.raises(ToolError, match=reason):
        edited(text, old, "new")


def test_in_a_file_that_changed_even_all_occurrences_must_be_one() -> None:
    assert edited("a b", "a", "x", everywhere=True, only_unique=True) == "x b"
    with pytest.raises(ToolError, match=r"was changed since you read it.*read it again"):
        edited("a b a", "a", "x", everywhere=True, only_unique=True)


def test_each_edit_works_on_the_outcome_of_the_one_before() -> None:
    steps = [Replacement(old="one", new="two"), Replacement(old="two three", new="four")]

    assert replace_all("one three", steps, only_unique=False).text == "four"


def test_the_edit_that_fails_is_named_by_its_place() -> None:
    steps = [Replacement(old="one", new="two"), Replacement(old="one", new="x")]

    with pytest.raises(ToolError, match="edit 2 of 2: old_string is not in the file"):
        replace_all("one", steps, only_unique=False)


@given(st.text(alphabet="ab\n"), st.text(alphabet="ab\n", min_size=1, max_size=3), st.text(alphabet="abc"))
def test_an_edit_changes_the_old_text_and_nothing_beside_it(text: str, old: str, new: str) -> None:
    try:
        result = edited(text, old, new)
    except ToolError:
        return
    start = text.index(old)
    assert result == text[:start] + new + text[start + len(old) :]


@given(st.binary(max_size=60) | st.text(alphabet="a\r\n\ufeff", max_size=20).map(str.encode))
def test_text_that_is_written_back_unedited_is_the_same_bytes(data: bytes) -> None:
    try:
        text = decode_exact(data, LogicalPath(("f",)))
    except ToolError:
        return
    assert text.encode(text.text) == data


async def test_edit_replaces_and_shows_the_place(call: Call, folder: Path) -> None:
    (folder / "a.py").write_text("".join(f"line {n}\n" for n in range(1, 21)), encoding="utf-8")
    await call("Read", file_path="a.py")

    result = await call("Edit", file_path="a.py", old_string="line 10\n", new_string="changed\n")

    assert result.content.startswith("Edited a.py in 1 place:\n     6\tline 6\n")
    assert "    10\tchanged" in result.content
    assert (result.details["replacements"], result.details["first_line"]) == (1, 10)
    assert "changed\nline 11" in (folder / "a.py").read_text(encoding="utf-8")


async def test_edit_of_a_file_that_was_not_read_is_refused(call: Call, folder: Path) -> None:
    (folder / "a.txt").write_bytes(b"one")

    result = await call("Edit", file_path="a.txt", old_string="one", new_string="two")

    assert "read it before editing it" in result.content
    assert (folder / "a.txt").read_bytes() == b"one"


async def test_edit_after_an_edit_needs_no_further_reading(call: Call, folder: Path) -> None:
    (folder / "a.txt").write_bytes(b"one")
    await call("Read", file_path="a.txt")

    await call("Edit", file_path="a.txt", old_string="one", new_string="aa aa")
    result = await call("Edit", file_path="a.txt", old_string="aa", new_string="b", replace_all=True)

    assert result.details["replacements"] == 2
    assert (folder / "a.txt").read_bytes() == b"b b"


async def test_edit_of_a_file_that_changed_keeps_the_change_when_the_place_is_clear(
    call: Call, folder: Path
) -> None:
    (folder / "a.txt").write_bytes(b"one\ntwo\n")
    await call("Read", file_path="a.txt")
    (folder / "a.txt").write_bytes(b"zero\none\ntwo\n")

    result = await call("Edit", file_path="a.txt", old_string="two", new_string="2")

    assert not result.is_error
    assert (folder / "a.txt").read_bytes() == b"zero\none\n2\n"


async def test_edit_of_a_file_that_changed_replaces_no_more_than_one_place(call: Call, folder: Path) -> None:
    (folder / "a.txt").write_bytes(b"one\n")
    await call("Read", file_path="a.txt")
    (folder / "a.txt").write_bytes(b"one\none\n")

    result = await call("Edit", file_path="a.txt", old_string="one", new_string="two", replace_all=True)

    assert "was changed since you read it" in result.content
    assert (folder / "a.txt").read_bytes() == b"one\none\n"


async def test_edits_made_at_once_all_take_place(call: Call, folder: Path) -> None:
    (folder / "a.txt").write_text("".join(f"<{n}>\n" for n in range(3)), encoding="utf-8")
    await call("Read", file_path="a.txt")

    results = await asyncio.gather(
        *(call("Edit", file_path="a.txt", old_string=f"<{n}>", new_string=f"done {n}") for n in range(3))
    )

    assert [result.is_error for result in results] == [False] * 3
    assert (folder / "a.txt").read_text(encoding="utf-8") == "done 0\ndone 1\ndone 2\n"


async def test_edit_keeps_the_line_ends_and_the_mark_of_windows(call: Call, folder: Path) -> None:
    (folder / "a.txt").write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\nthree\r\n")
    await call("Read", file_path="a.txt")

    await call("Edit", file_path="a.txt", old_string="one\ntwo", new_string="1\n2\n2b")

    assert (folder / "a.txt").read_bytes() == b"\xef\xbb\xbf1\r\n2\r\n2b\r\nthree\r\n"


async def test_edit_of_bytes_that_are_no_utf8_is_refused_and_harms_nothing(call: Call, folder: Path) -> None:
    (folder / "old.txt").write_bytes(b"caf\xe9 one")
    await call("Read", file_path="old.txt")

    result = await call("Edit", file_path="old.txt", old_string="one", new_string="two")

    assert "not UTF-8" in result.content
    assert (folder / "old.txt").read_bytes() == b"caf\xe9 one"


async def test_edit_of_a_link_names_where_to_edit_instead(call: Call, folder: Path) -> None:
    (folder / "real.txt").write_bytes(b"one")
    (folder / "link.txt").symlink_to("real.txt")
    await call("Read", file_path="link.txt")

    result = await call("Edit", file_path="link.txt", old_string="one", new_string="two")

    assert "symbolic link to 'real.txt'" in result.content
    assert (folder / "link.txt").is_symlink()


async def test_an_empty_old_text_creates_a_file_but_never_replaces_one(call: Call, folder: Path) -> None:
    created = await call("Edit", file_path="src/new.py", old_string="", new_string="x = 1\n")
    refused = await call("Edit", file_path="src/new.py", old_string="", new_string="y = 2\n")

    assert created.content == "Created src/new.py:\n     1\tx = 1"
    assert "use Write to replace the whole file" in refused.content
    assert (folder / "src" / "new.py").read_bytes() == b"x = 1\n"


async def test_edit_of_a_missing_file_is_refused(call: Call) -> None:
    result = await call("Edit", file_path="a.txt", old_string="x", new_string="y")

    assert result.details == {"code": "file_missing"}


async def test_many_edits_are_all_made_or_none(call: Call, folder: Path) -> None:
    (folder / "a.txt").write_bytes(b"one two")
    await call("Read", file_path="a.txt")
    good = {"old_string": "one", "new_string": "1"}

    failed = await call(
        "MultiEdit", file_path="a.txt", edits=[good, {"old_string": "three", "new_string": "3"}]
    )
    assert failed.is_error
    assert (folder / "a.txt").read_bytes() == b"one two"

    made = await call("MultiEdit", file_path="a.txt", edits=[good, {"old_string": "two", "new_string": "2"}])
    assert made.details["replacements"] == 2
    assert (folder / "a.txt").read_bytes() == b"1 2"


async def test_many_edits_may_begin_with_a_new_file(call: Call, folder: Path) -> None:
    edits = [{"old_string": "", "new_string": "a b"}, {"old_string": "b", "new_string": "c"}]

    assert not (await call("MultiEdit", file_path="new.txt", edits=edits)).is_error
    assert (folder / "new.txt").read_bytes() == b"a c"


async def test_no_edits_at_all_are_refused(call: Call) -> None:
    assert "edits: " in (await call("MultiEdit", file_path="a.txt", edits=[])).content


async def test_a_playbook_may_edit_what_it_has_not_read(context: ToolContext, folder: Path) -> None:
    (folder / "a.txt").write_bytes(b"one")
    trusting = dataclasses.replace(context, reads=ReadLedger(enforced=False))
    arguments = {"file_path": "a.txt", "old_string": "one", "new_string": "two"}

    assert not (await call_tool(TOOLS, trusting, "Edit", {**arguments})).is_error
