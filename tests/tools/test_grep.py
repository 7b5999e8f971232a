"""Grep: what ripgrep is asked for, and what an agent is told of its answer."""

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from chargehand.domain.values import JsonValue
from chargehand.errors import SandboxUnavailable
from chargehand.tools.base import ToolContext, call_tool
from chargehand.tools.paths import LogicalPath
from chargehand.tools.ripgrep import OutputMode, Query, command_line, lines_of_output
from chargehand.tools.sandbox.base import Ended, EndedBy, OnLine, SandboxCommand, SandboxLevel
from tests.tools.conftest import TOOLS, Call


@pytest.fixture
def tree(folder: Path) -> Path:
    (folder / "src").mkdir()
    (folder / "src" / "a.py").write_text("import os\n\ndef main():\n    return OS\n", encoding="utf-8")
    (folder / "src" / "b.js").write_text("import os from 'os'\n", encoding="utf-8")
    (folder / "notes.md").write_text("nothing\n", encoding="utf-8")
    os.utime(folder / "src" / "a.py", ns=(0, 1))
    return folder


@dataclass(frozen=True, slots=True)
class EndingSandbox:
    """Ends every command in one way without running it: ends that ripgrep alone cannot be brought to."""

    ended_by: EndedBy
    level: SandboxLevel = SandboxLevel.NONE

    async def run(self, command: SandboxCommand, *, on_stdout_line: OnLine | None = None) -> Ended:
        return Ended(
            exit_code=None,
            signal=9,
            ended_by=self.ended_by,
            stdout=b"",
            stderr=b"",
            dropped_bytes=0,
            duration_seconds=command.limits.wall_seconds,
        )


@dataclass(frozen=True, slots=True)
class MissingSandbox:
    """A level that can no longer start anything."""

    level: SandboxLevel = SandboxLevel.STRICT

    async def run(self, command: SandboxCommand, *, on_stdout_line: OnLine | None = None) -> Ended:
        raise SandboxUnavailable(f"bubblewrap is gone; {command.argv[0]} was not run")


async def test_grep_names_the_files_that_match_the_newest_first(call: Call, tree: Path) -> None:
    result = await call("Grep", pattern=r"import\s+os")

    assert result.content == "src/b.js\nsrc/a.py"
    assert result.details == {
        "mode": "files_with_matches",
        "is_truncated": False,
        "files": ["src/b.js", "src/a.py"],
        "matches": 2,
    }


async def test_grep_shows_lines_with_their_numbers(call: Call, tree: Path) -> None:
    result = await call("Grep", pattern="os", output_mode="content", path="src/a.py", **{"-i": True})

    assert result.content == "src/a.py:1:import os\nsrc/a.py:4:    return OS"


async def test_grep_shows_lines_without_numbers_and_with_what_stands_around(call: Call, tree: Path) -> None:
    plain = await call("Grep", pattern="main", output_mode="content", **{"-n": False})
    around = await call("Grep", pattern="main", output_mode="content", **{"-A": 1, "-B": 1})
    same = await call("Grep", pattern="main", output_mode="content", context=1)

    assert plain.content == "src/a.py:def main():"
    assert around.content == "src/a.py:2-\nsrc/a.py:3:def main():\nsrc/a.py:4-    return OS"
    assert same.content == around.content


async def test_grep_counts_per_file_and_in_all(call: Call, tree: Path) -> None:
    result = await call("Grep", pattern="o", output_mode="count")

    assert result.content == "notes.md:1\nsrc/a.py:1\nsrc/b.js:1\n[3 matches in 3 files]"
    assert result.details["matches"] == 3


@pytest.mark.parametrize(
    ("narrowed", "files"),
    [
        ({"glob": "*.js"}, ["src/b.js"]),
        ({"glob": "*.{js,md}"}, ["src/b.js"]),
        ({"type": "py"}, ["src/a.py"]),
        ({"path": "/workspace/src/a.py"}, ["src/a.py"]),
        ({"path": "src"}, ["src/b.js", "src/a.py"]),
    ],
)
async def test_grep_is_narrowed(
    call: Call, tree: Path, narrowed: dict[str, JsonValue], files: list[str]
) -> None:
    assert (await call("Grep", pattern="import", **narrowed)).details["files"] == files


async def test_grep_matches_over_lines_when_asked(call: Call, tree: Path) -> None:
    pattern = r"os.*main\(\)"

    assert (await call("Grep", pattern=pattern)).content == "[no matches]"
    assert (await call("Grep", pattern=pattern, multiline=True)).content == "src/a.py"


async def test_grep_shows_only_what_matched_when_asked(call: Call, tree: Path) -> None:
    result = await call("Grep", pattern="m[a-z]+n", output_mode="content", **{"-o": True})

    assert result.content == "src/a.py:3:main"


async def test_grep_goes_through_many_entries_in_pieces(call: Call, folder: Path) -> None:
    (folder / "a.txt").write_text("x\n" * 300, encoding="utf-8")

    first = await call("Grep", pattern="x", output_mode="content")
    second = await call("Grep", pattern="x", output_mode="content", offset=250, head_limit=20)
    everything = await call("Grep", pattern="x", output_mode="content", head_limit=0)
    past = await call("Grep", pattern="x", output_mode="content", offset=300)

    assert first.content.endswith("a.txt:250:x\n[entries 1 to 250 of 300; go on with offset=250]")
    assert second.content.startswith("a.txt:251:x")
    assert "go on with offset=270" in second.content
    assert everything.content.endswith("a.txt:300:x")
    assert past.content == "[there are 300 entries; nothing is left after offset 300]"


async def test_grep_heeds_the_workspaces_ignore_file_even_below_it_but_no_hosts(
    call: Call, tree: Path
) -> None:
    (tree / ".gitignore").write_text("*.js\n", encoding="utf-8")
    assert (await call("Grep", pattern="import")).content == "src/a.py"

    (tree.parent / ".gitignore").write_text("*.py\n", encoding="utf-8")
    (tree.parent / ".git").mkdir()

    assert (await call("Grep", pattern="import")).content == "src/a.py"
    assert (await call("Grep", pattern="import", path="src")).content == "src/a.py"


async def test_grep_looks_into_git_and_the_services_folder_only_when_named(call: Call, folder: Path) -> None:
    for name in (".git", ".chargehand", ".github"):
        (folder / name).mkdir()
        (folder / name / "f").write_bytes(b"needle\n")

    assert (await call("Grep", pattern="needle")).content == ".github/f"
    assert (await call("Grep", pattern="needle", glob="**/f")).content == ".github/f"
    assert (await call("Grep", pattern="needle", path=".git")).content == ".git/f"


async def test_grep_does_not_show_a_file_in_the_making(call: Call, folder: Path) -> None:
    (folder / ".chargehand-tmp-0011223344556677").write_bytes(b"needle\n")

    assert (await call("Grep", pattern="needle")).content == "[no matches]"
    assert (await call("Grep", pattern="needle", glob="*")).content == "[no matches]"


async def test_grep_tells_ripgreps_own_words_about_a_bad_pattern(call: Call) -> None:
    result = await call("Grep", pattern="a(b")

    assert result.is_error
    assert "unclosed group" in result.content


async def test_grep_tells_that_a_type_is_unknown(call: Call, tree: Path) -> None:
    assert "unrecognized file type" in (await call("Grep", pattern="x", type="klingon")).content


@pytest.mark.parametrize("value", ["--files", "-f/etc/passwd", "--pre=/bin/sh", "--"])
async def test_nothing_that_an_agent_writes_becomes_an_option(call: Call, folder: Path, value: str) -> None:
    (folder / "a.txt").write_text(f"{value}\n", encoding="utf-8")

    assert (await call("Grep", pattern=value)).content == "a.txt"
    assert (await call("Grep", pattern="x", glob=value)).content == "[no matches]"
    assert (await call("Grep", pattern="x", path=value)).details == {"code": "file_missing"}


@pytest.mark.parametrize("path", ["..", "/etc", "up", "up/secret.txt"])
async def test_grep_outside_is_refused(call: Call, folder: Path, outside: Path, path: str) -> None:
    (folder / "up").symlink_to(outside.parent)

    result = await call("Grep", pattern="secret", path=path)

    assert result.is_error
    assert "the secret" not in result.content


async def test_grep_does_not_follow_links_that_it_meets(call: Call, folder: Path, outside: Path) -> None:
    (folder / "link.txt").symlink_to(outside)
    (folder / "up").symlink_to(outside.parent)

    assert (await call("Grep", pattern="secret")).content == "[no matches]"


async def test_grep_is_not_misled_by_names(call: Call, folder: Path) -> None:
    name = "a:7:x\n.txt"
    (folder / name).write_bytes(b"needle\n")

    listed = await call("Grep", pattern="needle")
    shown = await call("Grep", pattern="needle", output_mode="content")

    assert listed.content == "a:7:x\\n.txt"
    assert shown.content == "a:7:x\\n.txt:1:needle"


async def test_grep_leaves_out_binary_files_and_cuts_long_lines(call: Call, folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"\x00needle\n")
    (folder / "b.txt").write_bytes(b"needle" + b"y" * 5_000 + b"\n")

    result = await call("Grep", pattern="needle", output_mode="content")

    assert len(result.content) < 1_200
    assert "\x00" not in result.content


async def test_a_binary_file_whose_text_matched_first_is_named_as_one(call: Call, folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"needle\n" + b"y\n" * 40_000 + b"\x00")
    (folder / "b.txt").write_bytes(b"needle\n")

    lines = (await call("Grep", pattern="needle", output_mode="content")).content.split("\n")

    assert lines[0] == "a.bin:1:needle"
    assert lines[1].startswith("a.bin: WARNING: stopped searching binary file")
    assert lines[2] == "b.txt:1:needle"


async def test_groups_of_lines_that_stand_apart_are_kept_apart(call: Call, folder: Path) -> None:
    (folder / "a.txt").write_bytes(b"x\n1\n2\n3\nx\n")

    result = await call("Grep", pattern="x", output_mode="content", **{"-C": 1})

    assert result.content == "a.txt:1:x\na.txt:2-1\n--\na.txt:4-3\na.txt:5:x"


async def test_a_search_that_takes_too_long_says_how_to_narrow_it(context: ToolContext) -> None:
    slow = dataclasses.replace(context, sandbox=EndingSandbox(EndedBy.TIMEOUT))

    result = await call_tool(TOOLS, slow, "Grep", {"pattern": "x"})

    assert result.is_error
    assert result.content == "the search took longer than 60 s; narrow it by path or glob"


async def test_a_search_that_the_sandbox_stopped_says_why(context: ToolContext) -> None:
    stopped = dataclasses.replace(context, sandbox=EndingSandbox(EndedBy.MEMORY))

    assert "(memory)" in (await call_tool(TOOLS, stopped, "Grep", {"pattern": "x"})).content


async def test_without_a_sandbox_nothing_is_searched(context: ToolContext, folder: Path) -> None:
    (folder / "a.txt").write_bytes(b"x\n")
    bare = dataclasses.replace(context, sandbox=MissingSandbox())

    result = await call_tool(TOOLS, bare, "Grep", {"pattern": "x"})

    assert result.details == {"code": "sandbox_unavailable"}


def test_a_last_line_that_was_cut_is_not_taken_for_a_whole_one() -> None:
    output = b"./a.txt\x001:x\n./a.txt\x0012"

    whole = lines_of_output(output, OutputMode.CONTENT, is_cut=False)
    cut = lines_of_output(output, OutputMode.CONTENT, is_cut=True)

    assert [str(line) for line in whole] == ["a.txt:1:x", "a.txt:12"]
    assert [str(line) for line in cut] == ["a.txt:1:x"]


def test_the_pattern_and_the_place_stand_where_no_option_can_be() -> None:
    line = command_line("rg", Query(pattern="-x", path=LogicalPath(("-y",)), mode=OutputMode.COUNT))

    assert line[-3:] == ("--regexp=-x", "--", "./-y")
