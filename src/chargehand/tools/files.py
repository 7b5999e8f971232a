"""Read and Write.

Rule: nothing is overwritten that the task has not seen as it stands; a write happens whole or not at all.
"""

import asyncio
import difflib

from pydantic import Field

from chargehand.domain.values import JsonObject
from chargehand.errors import ToolError
from chargehand.tools.base import AfterCrash, FunctionTool, Risk, ToolArguments, ToolContext, ToolResult
from chargehand.tools.disk_errors import FileMissing
from chargehand.tools.entries import MIB, Content, Entry, EntryKind
from chargehand.tools.ledger import Stamp
from chargehand.tools.paths import LogicalPath, listed, shown
from chargehand.tools.text import Text, decode, lines_of, numbered
from chargehand.tools.workspace import Workspace

MAX_READ_BYTES = 16 * MIB
MAX_PAGE_LINES = 2_000
MAX_PAGE_CHARACTERS = 100_000
MAX_LINE_CHARACTERS = 2_000


class ReadArguments(ToolArguments):
    file_path: str = Field(description="The file, relative to the workspace or beginning with /workspace/.")
    offset: int = Field(default=1, ge=0, description="The first line to show, counted from 1.")
    limit: int | None = Field(default=None, ge=1, description="How many lines to show; without it, one page.")


class WriteArguments(ToolArguments):
    file_path: str = Field(description="The file, relative to the workspace or beginning with /workspace/.")
    content: str = Field(description="The whole new content.")


async def _read(context: ToolContext, arguments: ReadArguments) -> ToolResult:
    path = context.workspace.path(arguments.file_path)
    content = await asyncio.to_thread(content_of, context.workspace, path)
    text = decode(content.data, path)
    return _page(path, text, content.stamp, first=max(arguments.offset, 1), limit=arguments.limit)


def _page(path: LogicalPath, text: Text, stamp: Stamp, *, first: int, limit: int | None) -> ToolResult:
    lines = lines_of(text.text)
    wanted = lines[first - 1 : first - 1 + (limit or MAX_PAGE_LINES)]
    fitting = _fitting(wanted)
    if limit is not None and len(fitting) < len(wanted):
        raise ToolError(
            f"lines {first} to {first + len(wanted) - 1} of {shown(path)} have more than"
            f" {MAX_PAGE_CHARACTERS:,} characters; ask for {len(fitting)} lines at most"
        )
    last = first + len(fitting) - 1
    notices = [] if text.is_exact else ["[not UTF-8: bytes that could not be decoded are shown as \ufffd]"]
    if not lines:
        notices.append(f"[{listed(path)} is empty]")
    elif not fitting:
        notices.append(f"[{listed(path)} has {len(lines)} lines; there is nothing from line {first} on]")
    elif last < len(lines) and limit is None:
        notices.append(
            f"[PARTIAL view: lines {first} to {last} of {len(lines)}; go on with offset={last + 1}]"
        )
    body = numbered(fitting, first=first, max_line_characters=MAX_LINE_CHARACTERS)
    return ToolResult(
        content="\n".join([*([body] if fitting else []), *notices]),
        details={
            "path": listed(path),
            **stamp.details(),
            "lines": len(lines),
            "first_line": first if fitting else 0,
            "last_line": last if fitting else 0,
            "is_partial": len(fitting) < len(lines),
        },
    )


def _fitting(lines: list[str]) -> list[str]:
    """The lines that one page has room for: always one at least."""
    room = MAX_PAGE_CHARACTERS
    for count, line in enumerate(lines):
        room -= min(len(line), MAX_LINE_CHARACTERS) + 8
        if room < 0 and count:
            return lines[:count]
    return lines


async def _write(context: ToolContext, arguments: WriteArguments) -> ToolResult:
    path = context.workspace.writable_path(arguments.file_path)
    data = arguments.content.encode()
    if len(data) > context.limits.file_bytes:
        raise ToolError(f"the content has {len(data):,} bytes; a file may have {context.limits.file_bytes:,}")
    return await asyncio.to_thread(_write_whole, context, path, data)


def _write_whole(context: ToolContext, path: LogicalPath, data: bytes) -> ToolResult:
    before = entry_of(context.workspace, path)
    what = f"{listed(path)} ({len(lines_of(data.decode()))} lines, {len(data):,} bytes)"
    expected = None
    if before is not None and before.kind is EntryKind.FILE:
        # Holds of a second run after a crash too: the first one may have written it already.
        if before.size_bytes == len(data) and content_of(context.workspace, path).data == data:
            return written(
                f"Unchanged: {what} already holds this content.", path, Stamp.of(data), created=False
            )
        expected = _seen_as_it_is(context, path, before)
    stamp = context.workspace.write_bytes(path, data, expected=expected)
    verb = "Created" if before is None else "Replaced"
    return written(f"{verb} {what}.", path, stamp, created=before is None)


def _seen_as_it_is(context: ToolContext, path: LogicalPath, before: Entry) -> Stamp | None:
    """The stamp that the file must still have when it is overwritten; None where that does not matter."""
    if not context.reads.enforced or before.size_bytes == 0:
        return None
    seen = context.reads.last_seen(listed(path))
    if seen is None:
        raise ToolError(
            f"{shown(path)} exists and you have not read it in this task; read it before overwriting it"
        )
    return seen


def entry_of(workspace: Workspace, path: LogicalPath) -> Entry | None:
    """What stands at the path, or None."""
    try:
        return workspace.stat(path)
    except FileMissing:
        return None


def content_of(workspace: Workspace, path: LogicalPath) -> Content:
    """The file's content; when it is missing, the error names files that are called nearly so."""
    try:
        return workspace.read_bytes(path, max_bytes=MAX_READ_BYTES)
    except FileMissing as error:
        raise FileMissing(f"{error.message}{_near_names(workspace, path)}") from None


def _near_names(workspace: Workspace, path: LogicalPath) -> str:
    try:
        beside = {entry.path.name: entry.path for entry in workspace.listing(path.parent)}
    except ToolError:
        return f"; the folder {shown(path.parent)} cannot be listed either, so find the file with Glob"
    near = difflib.get_close_matches(path.name, beside, n=3)
    return f"; did you mean {' or '.join(shown(beside[name]) for name in near)}?" if near else ""


def written(told: str, path: LogicalPath, stamp: Stamp, *, created: bool) -> ToolResult:
    """The result of a write; its stamp is what the task has seen of the file from now on."""
    details: JsonObject = {"path": listed(path), **stamp.details(), "created": created}
    return ToolResult(content=told, details=details)


READ = FunctionTool(
    name="Read",
    description=(
        "Show a text file of the workspace, each line with its number and a tab before it, at most"
        f" {MAX_PAGE_LINES:,} lines at once; `offset` and `limit` choose which. Folders and binary files are"
        " not shown: use Glob to list, Bash to look into binary files."
    ),
    arguments=ReadArguments,
    risk=Risk.READ,
    after_crash=AfterCrash.REPEAT,
    run=_read,
)

WRITE = FunctionTool(
    name="Write",
    description=(
        "Create a file, or replace the whole of one. Folders on the way are made. A file that exists must"
        " have been read in this task and not changed since; to change a part of it, use Edit."
    ),
    arguments=WriteArguments,
    risk=Risk.WRITE,
    # A second run finds the content already there and changes nothing.
    after_crash=AfterCrash.REPEAT,
    run=_write,
)
