"""Glob: which files a pattern means, and what is never looked into."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargehand.errors import PathRefused, ToolError
from chargehand.tools.entries import Entry
from chargehand.tools.globs import MAX_CHOICES, expand_braces, parse_glob
from chargehand.tools.paths import LogicalPath, parse_pattern
from chargehand.tools.search import MAX_GLOB_RESULTS
from chargehand.tools.workspace import Workspace
from tests.tools.conftest import Call


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*.py", "a.py", True),
        ("*.py", "src/a.py", False),
        ("**/*.py", "a.py", True),
        ("**/*.py", "src/deep/a.py", True),
        ("src/**", "src/a/b.txt", True),
        ("src/**", "src", True),
        ("src/**/test_*.py", "src/test_a.py", True),
        ("src/**/test_*.py", "src/a/b/test_a.py", True),
        ("src/**/test_*.py", "lib/test_a.py", False),
        ("a/**/b/**/c", "a/x/b/y/z/c", True),
        ("a/**/b/**/c", "a/x/y/z/c", False),
        ("**", "any/thing", True),
        ("*", ".hidden", True),
        ("?.py", "a.py", True),
        ("?.py", "ab.py", False),
        ("[ab].py", "b.py", True),
        ("[!ab].py", "b.py", False),
        ("[a-c]?.py", "cz.py", True),
        ("a**b", "axxb", True),
        ("a**b", "a/b", False),
        ("*.{py,toml}", "a.toml", True),
        ("{src,tests}/**/*.py", "tests/x/a.py", True),
        ("{src,tests}/**/*.py", "docs/a.py", False),
        ("a{b,c{d,e}}f", "acef", True),
        ("{a,b}{1,2}", "b1", True),
        ("{a}", "{a}", True),
        ("{a,", "{a,", True),
        ("x{,y}", "x", True),
        ("/workspace/src/*.py", "src/a.py", True),
        ("./src/*.py", "src/a.py", True),
        ("src\\*.py", "src/a.py", True),
        ("*.PY", "a.py", False),
        ("a.b", "axb", False),
    ],
)
def test_a_pattern_fits_the_paths_that_it_means(pattern: str, path: str, fits: bool) -> None:
    assert parse_glob(pattern, parse_pattern).matches(path.split("/")) is fits


@pytest.mark.parametrize("pattern", ["../*.py", "src/../../x", "/etc/*", "~/x", "C:/*", "a\x00b", ""])
def test_a_pattern_that_looks_outside_is_refused(pattern: str) -> None:
    with pytest.raises(PathRefused):
        parse_glob(pattern, parse_pattern)


def test_braces_that_stand_for_too_much_are_refused() -> None:
    with pytest.raises(ToolError, match=str(MAX_CHOICES)):
        expand_braces("{a,b}" * 40)


@pytest.mark.parametrize(
    ("pattern", "name"),
    [("*a" * 200 + "b", "a" * 255), ("**/" * 60 + "x", "a/" * 60 + "y"), ("[a-z]*" * 150 + "!", "a" * 255)],
)
def test_no_pattern_makes_matching_slow(pattern: str, name: str) -> None:
    begun = time.process_time()

    assert not parse_glob(pattern, parse_pattern).matches(name.split("/"))

    assert time.process_time() - begun < 1.0


@given(st.text(alphabet="ab*?[]{},/.!\\-^&|~", max_size=25), st.text(alphabet="ab/.", max_size=12))
def test_any_pattern_is_answered_or_refused(pattern: str, path: str) -> None:
    try:
        glob = parse_glob(pattern, parse_pattern)
    except ToolError:
        return
    assert glob.matches(path.split("/")) in {True, False}


async def test_glob_lists_the_newest_first(call: Call, folder: Path) -> None:
    (folder / "src" / "deep").mkdir(parents=True)
    for age, name in enumerate(["new.py", "src/mid.py", "src/deep/old.py"]):
        (folder / name).write_bytes(b"")
        os.utime(folder / name, ns=(0, 1_000_000_000 * (100 - age)))

    result = await call("Glob", pattern="**/*.py")

    assert result.content == "new.py\nsrc/mid.py\nsrc/deep/old.py"
    assert result.details["matches"] == 3
    assert result.details["is_truncated"] is False


async def test_glob_begins_at_the_folder_asked_for(call: Call, folder: Path) -> None:
    (folder / "src").mkdir()
    (folder / "src" / "a.py").write_bytes(b"")
    (folder / "b.py").write_bytes(b"")

    assert (await call("Glob", pattern="*.py", path="/workspace/src")).content == "src/a.py"
    assert (await call("Glob", pattern="/workspace/*.py", path="src")).content == "b.py"


async def test_glob_stops_at_its_bound_and_says_so(call: Call, folder: Path) -> None:
    for number in range(MAX_GLOB_RESULTS + 3):
        (folder / f"{number}.txt").write_bytes(b"")

    result = await call("Glob", pattern="*.txt")

    assert len(result.content.split("\n")) == MAX_GLOB_RESULTS + 1
    assert "the 100 newest of 103 files" in result.content
    assert result.details["is_truncated"] is True


async def test_glob_does_not_heed_ignore_files_and_looks_into_git_only_when_named(
    call: Call, folder: Path
) -> None:
    for name in ("build", ".git", ".chargehand"):
        (folder / name).mkdir()
    for name in (".gitignore", "build/out.txt", ".git/config.txt", ".chargehand/x.txt"):
        (folder / name).write_bytes(b"build/\n")

    assert (await call("Glob", pattern="**/*.txt")).content == "build/out.txt"
    assert (await call("Glob", pattern=".git/*.txt")).content == ".git/config.txt"


async def test_glob_shows_links_without_following_them(call: Call, folder: Path, outside: Path) -> None:
    (folder / "up").symlink_to(outside.parent)
    (folder / "loop").symlink_to(".")

    assert (await call("Glob", pattern="**/*")).details["files"] == ["loop", "up"]
    assert (await call("Glob", pattern="up/*")).details["files"] == []
    assert (await call("Glob", pattern="*", path="up")).is_error


async def test_glob_lists_only_folders_that_can_lead_to_a_match(
    call: Call, workspace: Workspace, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("src/app", "src/lib", "docs"):
        (folder / name).mkdir(parents=True)
    listed: list[str] = []
    listing = workspace.listing

    def recorded(path: LogicalPath) -> list[Entry]:
        listed.append(str(path))
        return listing(path)

    monkeypatch.setattr(workspace, "listing", recorded)
    await call("Glob", pattern="src/a*/*.py")

    assert listed == [".", "src", "src/app"]


async def test_glob_without_a_match_says_so_and_how_to_look_deeper(call: Call) -> None:
    result = await call("Glob", pattern="*.rs")

    assert result.content == "[no file matches '*.rs'; '**/*.rs' looks into folders too]"
    assert not result.is_error


async def test_glob_in_a_folder_that_is_missing_is_an_error(call: Call) -> None:
    assert (await call("Glob", pattern="*", path="nope")).details == {"code": "file_missing"}


async def test_a_name_that_is_no_text_is_listed_escaped(call: Call, folder: Path) -> None:
    descriptor = os.open(os.fsencode(folder) + b"/bad\xff\n.txt", os.O_CREAT)
    os.close(descriptor)

    assert (await call("Glob", pattern="*.txt")).content == "bad\\udcff\\n.txt"
