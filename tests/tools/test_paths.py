"""The logical path: one set of rules for every platform, decided on the text alone."""

import ntpath
import os
import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chargehand.errors import PathRefused
from chargehand.tools.paths import (
    MAX_PARTS,
    MAX_PATH_BYTES,
    LogicalPath,
    check_writable,
    parse_path,
    parse_pattern,
    policy_key,
    shown,
)

REAL = "/srv/data/ws-1"
ROOTS = ("/workspace", REAL)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a.txt", ("a.txt",)),
        ("src/app.py", ("src", "app.py")),
        ("src\\app.py", ("src", "app.py")),
        ("./src//./app.py", ("src", "app.py")),
        ("src/", ("src",)),
        (".", ()),
        ("/workspace", ()),
        ("/workspace/", ()),
        ("/workspace/src/app.py", ("src", "app.py")),
        ("/workspace//etc/passwd", ("etc", "passwd")),
        (REAL, ()),
        (f"{REAL}/src", ("src",)),
        ("...x", ("...x",)),
        (".env", (".env",)),
        ("~x", ("~x",)),
        ("console.log", ("console.log",)),
        ("com10.txt", ("com10.txt",)),
        ("a b/ü/日本語.txt", ("a b", "ü", "日本語.txt")),
        ("[slug].tsx", ("[slug].tsx",)),
        ("a~b", ("a~b",)),
        ("x" * 255, ("x" * 255,)),
        ("workspace/x", ("workspace", "x")),
    ],
)
def test_a_plain_path_is_taken(text: str, parts: tuple[str, ...]) -> None:
    assert parse_path(text, roots=ROOTS) == LogicalPath(parts)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("a\x00b", "NUL"),
        ("real/f.txt\x00x", "NUL"),
        ("a\ud800", "surrogate"),
        ("x/" * 2049, "4098 bytes"),
        ("x" * 256, "longer than 255"),
        ("é" * 128, "longer than 255"),
        ("/".join(["d"] * (MAX_PARTS + 1)), "folders deep"),
        ("/etc/passwd", "absolute path outside the workspace"),
        ("/", "absolute"),
        ("/workspaces/x", "absolute"),
        ("/workspace-evil/x", "absolute"),
        (f"{REAL}-evil/x", "absolute"),
        (f"{REAL}/../ws-2/x", r"'\.\.' is not followed"),
        ("/Workspace/x", "absolute"),
        ("\\etc\\passwd", "absolute"),
        ("//server/share/x", "network or device"),
        ("\\\\server\\share\\x", "network or device"),
        ("\\\\?\\C:\\x", "network or device"),
        ("\\\\.\\pipe\\x", "network or device"),
        ("\\??\\C:\\x", "network or device"),
        ("C:/x", "drive"),
        ("C:evil", "drive"),
        ("c:\\x", "drive"),
        ("~", "home folder"),
        ("~/x", "home folder"),
        ("..", r"'\.\.'"),
        ("a/../b", r"'\.\.'"),
        ("a\\..\\b", r"'\.\.'"),
        ("/workspace/../etc/passwd", r"'\.\.'"),
        ("f.txt:ads", "holds :"),
        ("f.txt::$DATA", "holds :"),
        ("dir:$I30:$INDEX_ALLOCATION/x", "holds :"),
        ("a<b", "holds <"),
        ("a>b", "holds >"),
        ('a"b', 'holds "'),
        ("a|b", r"holds \|"),
        ("a?b", r"holds \?"),
        ("a*b", r"holds \*"),
        ("a\nb", "control character"),
        ("a\x7fb", "control character"),
        ("a\x85b", "control character"),
        ("\x1b[31mred", "control character"),
        ("trail.", "ends in a dot"),
        ("trail ", "ends in a dot or a space"),
        ("trail./x", "ends in a dot"),
        ("...", "ends in a dot"),
        (".. /x", "ends in a dot or a space"),
        ("con", "device"),
        ("CON.txt", "device"),
        ("con .txt", "device"),
        ("a/NUL", "device"),
        ("aux.py", "device"),
        ("COM¹", "device"),
        ("lpt³.log", "device"),
        ("COM0", "device"),
        ("CONIN$", "device"),
        ("PRN.tar.gz", "device"),
        ("PROGRA~1", "short name"),
        ("progra~1/x", "short name"),
        ("LONGFI~12.TXT", "short name"),
    ],
)
def test_any_other_path_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(PathRefused, match=reason):
        parse_path(text, roots=ROOTS)


def test_an_absolute_path_is_refused_with_what_to_write_instead() -> None:
    with pytest.raises(PathRefused, match=r"use a path relative to the workspace, such as 'src/app\.py'"):
        parse_path("/etc/passwd")


def test_a_windows_root_is_known_in_any_case_and_with_any_separator() -> None:
    roots = ("/workspace", "C:\\Data\\ws")

    assert parse_path("c:/data/WS/src/a.py", roots=roots) == LogicalPath(("src", "a.py"))
    with pytest.raises(PathRefused, match="drive"):
        parse_path("C:\\Data\\ws2\\a.py", roots=roots)


def test_a_workspace_at_the_top_of_a_disk_does_not_make_every_absolute_path_its_own() -> None:
    with pytest.raises(PathRefused, match="absolute"):
        parse_path("/etc/passwd", roots=("/workspace", "/"))


@pytest.mark.parametrize(
    "text",
    [
        ".chargehand/todo.json",
        ".chargehand",
        ".CHARGEHAND/x",
        ".Chargehand\\x",
        ".charge\u200dhand/x",
        "sub/.chargehand/x",
        ".git/hooks/pre-commit",
        ".GIT/config",
        ".Git/config",
        ".g\u200cit/config",
        "sub/.git/config",
        ".git",
        ".chargehand-tmp-0011",
        "src/.CHARGEHAND-TMP-0011",
        ".",
    ],
)
def test_what_belongs_to_the_service_or_to_git_is_not_written(text: str) -> None:
    with pytest.raises(PathRefused, match="cannot be written"):
        check_writable(parse_path(text))


@pytest.mark.parametrize(
    "text", [".gitignore", ".github/x.yml", ".env", "git/x", "chargehand/x", ".gitattributes"]
)
def test_names_that_only_begin_alike_are_written(text: str) -> None:
    check_writable(parse_path(text))


def test_policy_compares_composed_and_decomposed_names_as_one() -> None:
    assert policy_key("E\u0301t\u00e9") == policy_key("\u00e9te\u0301")


def test_a_message_never_holds_what_a_terminal_would_obey() -> None:
    assert shown("a\x1b[2Jb") == "'a\\x1b[2Jb'"
    assert shown("\u202egnp.exe") == "'\\u202egnp.exe'"
    assert len(shown("x" * 10_000)) < 250


PIECES = st.sampled_from([
    "a", "b.txt", "..", ".", "", "/", "\\", "//", "\\\\", "C:", ":", "~", "\x00", "workspace", "/workspace",
    " ", "nul", "..\\..", "\ud800", "\u2025", "\uff0e\uff0e", "%2e%2e", "?", "*", "\\\\?\\", "srv", REAL,
])  # fmt: skip


@given(st.lists(PIECES | st.text(max_size=8), max_size=10).map("".join))
def test_no_text_becomes_a_path_that_leads_outside(text: str) -> None:
    try:
        path = parse_path(text, roots=ROOTS)
    except PathRefused:
        return
    for join, base in ((posixpath, "/ws"), (ntpath, "C:\\ws")):
        place = join.normpath(join.join(base, *path.parts))
        assert place == base or place.startswith(base + join.sep)
    assert all(part and part not in {".", ".."} and "\x00" not in part for part in path.parts)
    assert os.fsencode(str(path))


@given(st.text(max_size=40))
def test_a_path_that_was_taken_is_taken_again_as_the_same(text: str) -> None:
    try:
        path = parse_path(text)
    except PathRefused:
        return
    assert parse_path(str(path)) == path


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("**/*.py", ("**", "*.py")),
        ("./src//[ab]?.txt", ("src", "[ab]?.txt")),
        ("src\\*", ("src", "*")),
        ("/workspace/src/*", ("src", "*")),
        (f"{REAL}/*", ("*",)),
        ("...x/*", ("...x", "*")),
    ],
)
def test_a_pattern_is_made_relative_like_a_path(text: str, parts: tuple[str, ...]) -> None:
    assert parse_pattern(text, roots=ROOTS) == parts


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\x00*",
        "*\ud800",
        "x/" * 2049,
        "/etc/*",
        "//host/*",
        "C:*",
        "~/x",
        "../*",
        "a/../*",
        "/workspace/../*",
    ],
)
def test_a_pattern_that_looks_outside_is_refused(text: str) -> None:
    with pytest.raises(PathRefused):
        parse_pattern(text, roots=ROOTS)


def test_a_path_as_long_and_as_deep_as_may_be_is_taken() -> None:
    assert len(parse_path("/".join(["d"] * MAX_PARTS)).parts) == MAX_PARTS
    long = "/".join(["x" * 255] * 16)
    assert len(long) == MAX_PATH_BYTES - 1
    assert parse_path(f"{long}/").parts == tuple(["x" * 255] * 16)


@pytest.mark.parametrize("name", ["conin$", "CONOUT$", "conout$.txt"])
def test_the_consoles_of_windows_are_no_files(name: str) -> None:
    with pytest.raises(PathRefused, match="device"):
        parse_path(name)
