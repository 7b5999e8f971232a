"""How Grep talks to ripgrep: the command line, and what its output says. No process is started here.

Rule: nothing that an agent wrote becomes an option, and nothing outside the workspace says what is searched.
"""

import functools
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from chargehand.errors import ToolError
from chargehand.tools.paths import SERVICE_FOLDER, TEMPORARY_PREFIX, LogicalPath

MAX_LINE_CHARACTERS = 1_000

_BETWEEN_GROUPS = b"--"
_ABOUT_BINARY = b' (found "\\0" byte around offset '


class OutputMode(StrEnum):
    """What a search answers with."""

    FILES = "files_with_matches"
    CONTENT = "content"
    COUNT = "count"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One search."""

    pattern: str
    path: LogicalPath
    mode: OutputMode
    glob: str | None = None
    type: str | None = None
    before: int = 0
    after: int = 0
    with_line_numbers: bool = True
    ignores_case: bool = False
    only_matching: bool = False
    is_multiline: bool = False
    top_ignore_file: bool = False
    """Whether the workspace's top has a .gitignore that holds for a search further down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of output: the path it is about (empty for the mark between groups) and what is said of it."""

    path: str
    rest: str

    def __str__(self) -> str:
        return f"{self.path}:{self.rest}" if self.path and self.rest else self.path or self.rest


@functools.cache
def ripgrep_program() -> str:
    """Where ripgrep is: beside this Python, where its package puts it, or on the path."""
    beside = Path(sys.executable).parent / ("rg.exe" if sys.platform == "win32" else "rg")
    found = str(beside) if beside.exists() else shutil.which("rg")
    if found is None:
        raise ToolError("ripgrep is not installed beside the service; install the package 'ripgrep' there")
    return found


def command_line(program: str, query: Query) -> tuple[str, ...]:
    """The arguments for one search, to be run with the workspace as the working directory."""
    place = "./" + "/".join(query.path.parts)
    options = [
        "--no-config",
        "--color=never",
        "--hidden",
        "--no-require-git",
        # Ignore files above the workspace are the host's: they say nothing about the agent's files.
        "--no-ignore-parent",
        "--no-ignore-global",
        "--path-separator=/",
        # A NUL ends each file name, so that no name can look like a line number.
        "--null",
        *_narrowing(query),
        *_shape(query),
    ]
    return (program, *options, f"--regexp={query.pattern}", "--", place)


def _narrowing(query: Query) -> list[str]:
    options: list[str] = []
    if query.top_ignore_file and query.path.parts:
        options.append("--ignore-file=./.gitignore")
    if query.glob:
        options.append(f"--glob={query.glob}")
    if query.type:
        options.append(f"--type={query.type}")
    if query.ignores_case:
        options.append("--ignore-case")
    if query.is_multiline:
        options += ["--multiline", "--multiline-dotall"]
    # Of two globs that fit a name the later one decides, so these stand after the agent's.
    apart = [name for name in (".git", SERVICE_FOLDER) if name not in query.path.parts]
    return options + [f"--glob=!{name}" for name in (*apart, f"{TEMPORARY_PREFIX}*")]


def _shape(query: Query) -> list[str]:
    if query.mode is OutputMode.FILES:
        return ["--files-with-matches", "--sortr=modified"]
    if query.mode is OutputMode.COUNT:
        return ["--count", "--with-filename", "--sort=path"]
    return [
        "--no-heading",
        "--with-filename",
        "--sort=path",
        "--line-number" if query.with_line_numbers else "--no-line-number",
        f"--max-columns={MAX_LINE_CHARACTERS}",
        "--max-columns-preview",
        f"--before-context={query.before}",
        f"--after-context={query.after}",
        *(["--only-matching"] if query.only_matching else []),
    ]


def lines_of_output(output: bytes, mode: OutputMode, *, is_cut: bool) -> list[Line]:
    """What ripgrep wrote. `is_cut`: the output ended early, so its last line may be half a line."""
    end = b"\x00" if mode is OutputMode.FILES else b"\n"
    pieces = output.split(end)
    last = pieces.pop()
    if last and not is_cut:
        pieces.append(last)
    if mode is OutputMode.FILES:
        return [Line(path=_path(piece), rest="") for piece in pieces]
    return list(_lines_with_names(pieces))


def _lines_with_names(pieces: Iterable[bytes]) -> Iterator[Line]:
    begun_name = b""
    for piece in pieces:
        name, has_name, rest = (begun_name + piece).partition(b"\x00")
        if has_name:
            yield Line(path=_path(name), rest=_printed(rest))
            begun_name = b""
        elif not begun_name and (piece == _BETWEEN_GROUPS or _ABOUT_BINARY in piece):
            yield Line(path="", rest=_printed(piece.removeprefix(b"./")))
        else:
            # Every other line has a name that ends in NUL, so this is a name with a line end in it.
            begun_name += piece + b"\n"


def _path(name: bytes) -> str:
    text = name.removeprefix(b"./").decode(errors="surrogateescape")
    return text if text.isprintable() else ascii(text)[1:-1]


def _printed(text: bytes) -> str:
    # A stray NUL would make the result no storable text.
    return text.decode(errors="replace").replace("\x00", "\ufffd").removesuffix("\r")
