"""Glob and Grep.

Rule: both are bounded in what they look at and in what they answer, and say so when a bound was met.
"""

import asyncio
import dataclasses
import itertools
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import ConfigDict, Field, StringConstraints

from chargehand.domain.values import JsonObject
from chargehand.errors import ToolError
from chargehand.tools.base import AfterCrash, FunctionTool, Risk, ToolArguments, ToolContext, ToolResult
from chargehand.tools.entries import MIB, Entry, EntryKind
from chargehand.tools.globs import Glob, State, parse_glob
from chargehand.tools.paths import SERVICE_FOLDER, LogicalPath, listed, shown
from chargehand.tools.ripgrep import Line, OutputMode, Query, command_line, lines_of_output, ripgrep_program
from chargehand.tools.sandbox.base import Ended, EndedBy, SandboxCommand
from chargehand.tools.workspace import Workspace

MAX_GLOB_RESULTS = 100
MAX_VISITED = 200_000
MAX_GREP_CHARACTERS = 100_000
GREP_OUTPUT_BYTES = 4 * MIB
GREP_SECONDS = 60.0
DEFAULT_HEAD_LIMIT = 250
MAX_CONTEXT_LINES = 100

_APART = frozenset({".git", SERVICE_FOLDER})
"""Folders that a search looks into only when they are named."""

NoNul = Annotated[str, StringConstraints(min_length=1, max_length=4096, pattern=r"\A[^\x00]+\z")]


class GlobArguments(ToolArguments):
    pattern: str = Field(
        description="Such as 'src/**/*.{py,toml}'. `*` stays within one folder, `**` does not."
    )
    path: str | None = Field(
        default=None, description="The folder to begin at; without it, the workspace's top."
    )


class GrepArguments(ToolArguments):
    model_config = ConfigDict(populate_by_name=True)

    pattern: NoNul = Field(description="A regular expression in ripgrep's syntax.")
    path: str | None = Field(
        default=None, description="The file or folder to search; without it, everything."
    )
    glob: NoNul | None = Field(default=None, description="Only files whose names fit, such as '*.py'.")
    type: NoNul | None = Field(
        default=None, description="Only files of a kind that ripgrep knows, such as 'py'."
    )
    output_mode: OutputMode = Field(
        default=OutputMode.FILES, description="Files, their lines, or counts per file."
    )
    after: int = Field(
        default=0, alias="-A", ge=0, le=MAX_CONTEXT_LINES, description="Lines to show after a match."
    )
    before: int = Field(
        default=0, alias="-B", ge=0, le=MAX_CONTEXT_LINES, description="Lines to show before it."
    )
    around: int = Field(
        default=0, alias="-C", ge=0, le=MAX_CONTEXT_LINES, description="Lines to show on both sides."
    )
    context: int = Field(default=0, ge=0, le=MAX_CONTEXT_LINES, description="The same as -C.")
    with_line_numbers: bool = Field(default=True, alias="-n", description="Show line numbers.")
    ignores_case: bool = Field(
        default=False, alias="-i", description="Take upper and lower case as the same."
    )
    only_matching: bool = Field(
        default=False, alias="-o", description="Show only the matched part of a line."
    )
    multiline: bool = Field(
        default=False, description="Let a match go over lines; '.' matches line ends too."
    )
    head_limit: int = Field(
        default=DEFAULT_HEAD_LIMIT, ge=0, description="How many entries to show; 0 for all."
    )
    offset: int = Field(default=0, ge=0, description="How many entries to pass over first.")


@dataclass(slots=True, kw_only=True)
class _Found:
    """The files that a pattern matched, and whether the whole tree was looked through."""

    files: list[Entry] = field(default_factory=list[Entry])
    is_complete: bool = True


async def _glob(context: ToolContext, arguments: GlobArguments) -> ToolResult:
    workspace = context.workspace
    pattern = parse_glob(arguments.pattern, workspace.pattern)
    start = workspace.path(arguments.path) if arguments.path is not None else LogicalPath()
    if arguments.pattern[:1] in {"/", "\\"}:
        start = LogicalPath()  # The pattern itself begins at the workspace's top.
    found = await asyncio.to_thread(_matching, workspace, pattern, start)
    found.files.sort(key=lambda entry: (-entry.modified_ns, entry.path.parts))
    names = [listed(entry.path) for entry in found.files[:MAX_GLOB_RESULTS]]
    is_truncated = len(found.files) > len(names) or not found.is_complete
    return ToolResult(
        content="\n".join([*names, *_glob_notices(arguments, found)]),
        details={"files": [*names], "matches": len(found.files), "is_truncated": is_truncated},
    )


def _matching(workspace: Workspace, pattern: Glob, start: LogicalPath) -> _Found:
    states: dict[LogicalPath, State] = {start: pattern.start()}
    found = _Found()

    def enter(folder: Entry) -> bool:
        name = folder.path.name
        return bool(states[folder.path]) and (name not in _APART or name in pattern.literal_parts)

    tree = workspace.walk(start, enter=enter)
    for entry in itertools.islice(tree, MAX_VISITED):
        state = pattern.advance(states[entry.path.parent], entry.path.name)
        if entry.kind is EntryKind.FOLDER:
            states[entry.path] = state
        elif pattern.accepts(state):
            found.files.append(entry)
    found.is_complete = next(tree, None) is None
    return found


def _glob_notices(arguments: GlobArguments, found: _Found) -> list[str]:
    notices: list[str] = []
    if not found.files:
        deeper = "" if "/" in arguments.pattern else f"; '**/{arguments.pattern}' looks into folders too"
        notices.append(f"[no file matches {shown(arguments.pattern)}{deeper}]")
    if len(found.files) > MAX_GLOB_RESULTS:
        notices.append(f"[the {MAX_GLOB_RESULTS} newest of {len(found.files)} files; narrow the pattern]")
    if not found.is_complete:
        notices.append(f"[stopped after {MAX_VISITED:,} entries; begin at a folder further down]")
    return notices


async def _grep(context: ToolContext, arguments: GrepArguments) -> ToolResult:
    query = await asyncio.to_thread(_query, context.workspace, arguments)
    limits = dataclasses.replace(
        context.limits,
        output_bytes=GREP_OUTPUT_BYTES,
        wall_seconds=min(context.limits.wall_seconds, GREP_SECONDS),
    )
    ended = await context.sandbox.run(
        SandboxCommand(
            argv=command_line(ripgrep_program(), query), workspace=context.workspace.folder, limits=limits
        )
    )
    _check_ended(ended)
    is_cut = ended.dropped_bytes > 0
    lines = lines_of_output(ended.stdout, query.mode, is_cut=is_cut)
    notices = ["[the output was cut; narrow the search]"] if is_cut else []
    if ended.exit_code not in {0, 1}:
        notices.append(f"[some files were not searched: {_said(ended.stderr)}]")
    return _answer(query, lines, notices, offset=arguments.offset, head_limit=arguments.head_limit)


def _query(workspace: Workspace, arguments: GrepArguments) -> Query:
    path = workspace.path(arguments.path) if arguments.path is not None else LogicalPath()
    if workspace.stat(path).kind not in {EntryKind.FILE, EntryKind.FOLDER}:
        raise ToolError(f"{shown(path)} is neither a file nor a folder (a link?); search what it points to")
    around = max(arguments.around, arguments.context)
    return Query(
        pattern=arguments.pattern,
        path=path,
        mode=arguments.output_mode,
        glob=arguments.glob,
        type=arguments.type,
        before=arguments.before or around,
        after=arguments.after or around,
        with_line_numbers=arguments.with_line_numbers,
        ignores_case=arguments.ignores_case,
        only_matching=arguments.only_matching,
        is_multiline=arguments.multiline,
        top_ignore_file=workspace.exists(LogicalPath((".gitignore",))),
    )


def _check_ended(ended: Ended) -> None:
    if ended.ended_by is EndedBy.TIMEOUT:
        raise ToolError(
            f"the search took longer than {ended.duration_seconds:.0f} s; narrow it by path or glob"
        )
    if ended.ended_by is not EndedBy.EXIT:
        raise ToolError(
            f"the search was stopped by the sandbox ({ended.ended_by}); narrow it by path or glob"
        )
    if ended.exit_code not in {0, 1} and not ended.stdout:
        raise ToolError(f"the search failed: {_said(ended.stderr)}")


def _said(stderr: bytes) -> str:
    return stderr.decode(errors="replace").replace("\x00", "").strip()[:2_000] or "ripgrep gave no reason"


def _answer(
    query: Query, lines: list[Line], notices: list[str], *, offset: int, head_limit: int
) -> ToolResult:
    chosen = lines[offset : offset + head_limit] if head_limit else lines[offset:]
    fitting = _fitting([str(line) for line in chosen])
    is_truncated = bool(notices) or len(fitting) < len(lines) - offset
    details: JsonObject = {"mode": query.mode.value, "is_truncated": is_truncated}
    if query.mode is OutputMode.FILES:
        details |= {"files": [line.path for line in chosen[: len(fitting)]], "matches": len(lines)}
    elif query.mode is OutputMode.COUNT:
        total = sum(int(line.rest) for line in lines if line.rest.isdecimal())
        details |= {"matches": total, "files": [line.path for line in chosen[: len(fitting)]]}
        notices = [*([f"[{total} matches in {len(lines)} files]"] if lines else []), *notices]
    else:
        details["lines"] = len(lines)
    if not lines:
        notices = ["[no matches]", *notices]
    elif not fitting:
        notices = [f"[there are {len(lines)} entries; nothing is left after offset {offset}]", *notices]
    elif len(fitting) < len(lines) - offset:
        rest = f"[entries {offset + 1} to {offset + len(fitting)} of {len(lines)}; go on with"
        notices = [f"{rest} offset={offset + len(fitting)}]", *notices]
    return ToolResult(content="\n".join([*fitting, *notices]), details=details)


def _fitting(lines: list[str]) -> list[str]:
    room = MAX_GREP_CHARACTERS
    for count, line in enumerate(lines):
        room -= len(line) + 1
        if room < 0:
            return lines[: max(count, 1)]
    return lines


GLOB = FunctionTool(
    name="Glob",
    description=(
        f"List files whose paths fit a pattern, the newest first, at most {MAX_GLOB_RESULTS}. Ignore files do"
        " not matter; .git is looked into only when the pattern names it."
    ),
    arguments=GlobArguments,
    risk=Risk.READ,
    after_crash=AfterCrash.REPEAT,
    run=_glob,
)

GREP = FunctionTool(
    name="Grep",
    description=(
        "Search file contents with ripgrep: which files match, the matching lines, or counts. Files that a"
        " .gitignore names, binary files and .git are left out."
    ),
    arguments=GrepArguments,
    risk=Risk.READ,
    after_crash=AfterCrash.REPEAT,
    run=_grep,
)
