"""Edit and MultiEdit.

Rule: an edit is made in the file as it is now; where the agent saw another, only an unambiguous one.
"""

import asyncio
from dataclasses import dataclass

from pydantic import Field

from chargehand.errors import ToolError
from chargehand.tools.base import AfterCrash, FunctionTool, Risk, ToolArguments, ToolContext, ToolResult
from chargehand.tools.disk_errors import FileChanged
from chargehand.tools.edits import Replacement, replace_all
from chargehand.tools.entries import EntryKind
from chargehand.tools.files import MAX_LINE_CHARACTERS, content_of, entry_of, written
from chargehand.tools.ledger import Stamp
from chargehand.tools.paths import LogicalPath, listed, shown
from chargehand.tools.text import Text, decode_exact, lines_of, numbered

MAX_EDITS = 100
SNIPPET_LINES = 4
EDIT_TRIES = 3


class EditStep(ToolArguments):
    old_string: str = Field(description="The exact text to replace, with its spaces and line breaks.")
    new_string: str = Field(description="What stands there afterwards.")
    replace_all: bool = Field(default=False, description="Replace every occurrence instead of the only one.")

    def replacement(self) -> Replacement:
        """The step as the pure part takes it."""
        return Replacement(old=self.old_string, new=self.new_string, everywhere=self.replace_all)


class EditArguments(EditStep):
    file_path: str = Field(description="The file, relative to the workspace or beginning with /workspace/.")


class MultiEditArguments(ToolArguments):
    file_path: str = Field(description="The file, relative to the workspace or beginning with /workspace/.")
    edits: list[EditStep] = Field(
        min_length=1,
        max_length=MAX_EDITS,
        description="Replacements, each made in the outcome of the one before.",
    )


async def _edit(context: ToolContext, arguments: EditArguments) -> ToolResult:
    path = context.workspace.writable_path(arguments.file_path)
    return await asyncio.to_thread(_edit_file, context, path, [arguments.replacement()])


async def _multi_edit(context: ToolContext, arguments: MultiEditArguments) -> ToolResult:
    path = context.workspace.writable_path(arguments.file_path)
    return await asyncio.to_thread(
        _edit_file, context, path, [step.replacement() for step in arguments.edits]
    )


def _edit_file(context: ToolContext, path: LogicalPath, edits: list[Replacement]) -> ToolResult:
    for _ in range(EDIT_TRIES):
        try:
            return _edit_once(context, path, edits)
        except FileChanged:
            continue
    raise FileChanged(f"{shown(path)} is being changed all the time by something else; stop that, then edit")


def _edit_once(context: ToolContext, path: LogicalPath, edits: list[Replacement]) -> ToolResult:
    before = _editable(context, path, creates=not edits[0].old)
    first, *rest = (before.text.fitted(edit) for edit in edits)
    if before.text.text or first.old:
        edited = replace_all(before.text.text, [first, *rest], only_unique=before.is_changed)
        text, count, line = edited.text, edited.replacements, edited.first_line
    else:
        edited = replace_all(first.new, rest, only_unique=False)
        text, count, line = edited.text, edited.replacements + 1, 1
    is_new = before.stamp is None
    data = before.text.encode(text)
    stamp = context.workspace.write_bytes(path, data, expected=before.stamp, only_new=is_new)
    start = max(line - SNIPPET_LINES, 1)
    snippet = lines_of(text)[start - 1 : line + SNIPPET_LINES]
    places = f"{count} place{'' if count == 1 else 's'}"
    told = f"Created {listed(path)}:" if is_new else f"Edited {listed(path)} in {places}:"
    shown_lines = numbered(snippet, first=start, max_line_characters=MAX_LINE_CHARACTERS)
    result = written(f"{told}\n{shown_lines}", path, stamp, created=is_new)
    result.details |= {"replacements": count, "first_line": line}
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class _Editable:
    text: Text
    stamp: Stamp | None
    is_changed: bool


def _editable(context: ToolContext, path: LogicalPath, *, creates: bool) -> _Editable:
    entry = entry_of(context.workspace, path)
    if entry is None and creates:
        empty = Text(text="", newline="\n", has_mark=False, is_exact=True)
        return _Editable(text=empty, stamp=None, is_changed=False)
    if entry is not None and entry.kind is EntryKind.LINK:
        target = ascii(context.workspace.link_target(path))
        raise ToolError(f"{shown(path)} is a symbolic link to {target}; edit the file that it points to")
    content = content_of(context.workspace, path)
    seen = context.reads.last_seen(listed(path))
    if seen is None and context.reads.enforced and content.data:
        raise ToolError(f"you have not read {shown(path)} in this task; read it before editing it")
    is_changed = context.reads.enforced and seen is not None and seen != content.stamp
    return _Editable(text=decode_exact(content.data, path), stamp=content.stamp, is_changed=is_changed)


EDIT = FunctionTool(
    name="Edit",
    description=(
        "Replace an exact piece of text in a file that you have read. `old_string` must be in it exactly"
        " once, or set `replace_all`. An empty `old_string` creates a new file."
    ),
    arguments=EditArguments,
    risk=Risk.WRITE,
    # The new text may hold the old one, so a second run cannot tell whether the first one took place.
    after_crash=AfterCrash.REPORT,
    run=_edit,
)

MULTI_EDIT = FunctionTool(
    name="MultiEdit",
    description=(
        "Make several exact replacements in one file, in order, each in the outcome of the one before. Either"
        " all are made or none. Each follows the rules of Edit."
    ),
    arguments=MultiEditArguments,
    risk=Risk.WRITE,
    after_crash=AfterCrash.REPORT,
    run=_multi_edit,
)
