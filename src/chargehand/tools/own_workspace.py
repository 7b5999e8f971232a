"""A workspace of a task's own: a copy of the shared one, whose changes come back file by file.

Rule: what both sides have changed since the copy is left as it stands and told; nothing is overwritten unseen.
Bringing back a second time, after a crash, finds what the first time has done and does the rest.
Links are neither followed nor copied. All of it blocks; callers on the event loop go through `asyncio.to_thread`.
"""

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chargehand.domain.values import JsonObject, JsonValue, plain_text
from chargehand.errors import ToolError
from chargehand.failpoint import fail_point
from chargehand.tools.disk_errors import FileChanged
from chargehand.tools.entries import MIB, Entry, EntryKind
from chargehand.tools.ledger import Stamp
from chargehand.tools.paths import SERVICE_FOLDER, LogicalPath, check_writable, listed, parse_path
from chargehand.tools.sandbox.scratch import remove_tree
from chargehand.tools.workspace import Quota, Workspace

MAX_FILE_BYTES = 256 * MIB
MAX_LISTED = 200
"""Paths that are told of each kind; the rest is counted."""

_BASE, _MAKING, _REMOVING = ".base.json", ".making", ".removing"

Parts = tuple[str, ...]
_TASK_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class FileState:
    """What a file was at one moment."""

    stamp: Stamp
    is_executable: bool


@dataclass(frozen=True, slots=True)
class Changes:
    """What came of bringing a task's changes back; paths as listings give them."""

    applied: list[str] = field(default_factory=list[str])
    conflicts: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """(path, why it was left as it stands)."""

    def as_data(self) -> JsonObject:
        """As the journal keeps it and the parent is told it."""
        applied: list[JsonValue] = list(self.applied[:MAX_LISTED])
        conflicts: list[JsonValue] = [
            {"path": path, "why": plain_text(why)} for path, why in self.conflicts[:MAX_LISTED]
        ]
        more = max(0, len(self.applied) - MAX_LISTED) + max(0, len(self.conflicts) - MAX_LISTED)
        data: JsonObject = {"applied": applied, "conflicts": conflicts}
        return {**data, "not_listed": more} if more else data


def make_copy(source: Workspace, target: Path, quota: Quota, check: Callable[[], None]) -> None:
    """Copy the workspace to the folder `target`, unless that was done before; the copy appears at once.

    What every file was is kept beside it, in `base_file(target)`. `check` is called between files and may raise.
    """
    if target.exists():
        return
    making = target.with_name(f"{target.name}{_MAKING}")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    base: dict[Parts, FileState] = {}
    total = 0
    for entry in source.walk(LogicalPath()):
        check()
        place = making.joinpath(*entry.path.parts)
        if entry.kind is EntryKind.FOLDER:
            place.mkdir(exist_ok=True)
        elif entry.kind is EntryKind.FILE:
            data = source.read_bytes(entry.path, max_bytes=MAX_FILE_BYTES).data
            total += len(data)
            if total > quota.max_bytes or len(base) >= quota.max_files:
                raise ToolError("the shared workspace is larger than a workspace may be; it is not copied")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
            place.chmod(0o755 if _is_executable(entry) else 0o644)
            base[entry.path.parts] = FileState(Stamp.of(data), _is_executable(entry))
    kept = [[*_row(state), *parts] for parts, state in base.items()]
    base_file(target).write_text(json.dumps(kept), encoding="utf-8")
    _sync(making)
    fail_point("isolation.copied")
    making.replace(target)


def copies_in(workspaces: Path) -> set[str]:
    """The names of the copies there, finished or not, and of those whose removal was cut short."""
    suffixes = (_BASE, _MAKING, _REMOVING)
    names = [path.name for path in workspaces.iterdir()] if workspaces.is_dir() else []
    return {name.removesuffix(suffix) for name in names for suffix in suffixes if name.endswith(suffix)}


def workspaces_in(workspaces: Path) -> set[str]:
    """The ids of the tasks whose workspaces are there, whole or in parts."""
    names = [path.name for path in workspaces.iterdir()] if workspaces.is_dir() else []
    return {found[0] for name in names if (found := _TASK_ID.match(name))}


def remove_copy(target: Path) -> None:
    """Remove a copy that nobody needs, and what is kept beside it; begun anew after a crash, it goes on.

    What the files were is moved out of the way first: without it nobody takes removed files for deleted ones.
    """
    removing = target.with_name(f"{target.name}{_REMOVING}")
    with contextlib.suppress(FileNotFoundError):
        base_file(target).replace(removing)
    fail_point("isolation.removing")
    for folder in (target, target.with_name(f"{target.name}{_MAKING}")):
        remove_tree(folder)
        if folder.exists():
            raise OSError(f"{folder.name} is still there")
    fail_point("isolation.removed")
    removing.unlink(missing_ok=True)


def base_file(target: Path) -> Path:
    """Where it stands what the files were when the workspace was copied to `target`."""
    return target.with_name(f"{target.name}{_BASE}")


def read_base(target: Path) -> dict[Parts, FileState]:
    """What the files were when the workspace was copied to `target`."""
    rows: list[list[Any]] = json.loads(base_file(target).read_text(encoding="utf-8"))
    return {
        tuple(parts): FileState(Stamp(size_bytes=size, sha256=digest), executable)
        for digest, size, executable, *parts in rows
    }


def bring_back(
    own: Workspace,
    shared: Workspace,
    base: Mapping[Parts, FileState],
    *,
    task_id: str,
    passed_over: Container[str],
) -> Changes:
    """Apply to `shared` what `own` has changed since `base`.

    A file that both have changed stays as `shared` has it; the version of `own` is put below
    `.chargehand/conflicts`, where agents can read it.
    """
    changes = Changes()
    mine = _states(own)
    if not base_file(own.folder).exists():
        raise ToolError("the copy is being removed: its task has ended")
    for parts in sorted(base.keys() | mine.keys()):
        if any(part in passed_over for part in parts) or base.get(parts) == mine.get(parts):
            continue
        path = LogicalPath(parts)
        try:
            parse_path(str(path))
            check_writable(path)
            if parts not in mine and own.exists(path):
                raise ToolError("it is no plain file any more, or cannot be read")
            try:
                is_applied = _applied(own, shared, path, base.get(parts), mine.get(parts))
            except FileChanged:
                # Somebody was quicker between the look and the write; what they left decides.
                is_applied = _applied(own, shared, path, base.get(parts), mine.get(parts))
        except ToolError as error:
            changes.conflicts.append((listed(path), error.message))
            continue
        if is_applied:
            fail_point("isolation.applied")
            changes.applied.append(listed(path))
        else:
            changes.conflicts.append((listed(path), _kept_aside(own, shared, path, task_id, parts in mine)))
    return changes


def _applied(
    own: Workspace, shared: Workspace, path: LogicalPath, was: FileState | None, mine: FileState | None
) -> bool:
    """Whether the shared file now is as `mine`; False when others have changed it too."""
    theirs = _state(shared, path)
    if theirs == mine:
        return True
    if theirs != was:
        return False
    expected = theirs.stamp if theirs else None
    if mine is None:
        shared.remove(path, expected=expected)
        return True
    data = own.read_bytes(path, max_bytes=MAX_FILE_BYTES).data
    mode = 0o755 if mine.is_executable else 0o644
    shared.write_bytes(path, data, expected=expected, only_new=theirs is None, mode=mode)
    return True


def _kept_aside(own: Workspace, shared: Workspace, path: LogicalPath, task_id: str, exists: bool) -> str:
    if not exists:
        return "deleted here, changed meanwhile in the shared workspace; it was left"
    aside = LogicalPath((SERVICE_FOLDER, "conflicts", task_id, *path.parts))
    try:
        shared.write_bytes(aside, own.read_bytes(path, max_bytes=MAX_FILE_BYTES).data)
    except ToolError as error:
        return f"changed on both sides; the shared version was left ({error.message})"
    return f"changed on both sides; the shared version was left, this one is in {listed(aside)}"


def _states(workspace: Workspace) -> dict[Parts, FileState]:
    return {
        entry.path.parts: FileState(
            workspace.read_bytes(entry.path, max_bytes=MAX_FILE_BYTES).stamp, _is_executable(entry)
        )
        for entry in workspace.walk(LogicalPath())
        if entry.kind is EntryKind.FILE
    }


def _state(workspace: Workspace, path: LogicalPath) -> FileState | None:
    if not workspace.exists(path):
        return None
    entry = workspace.stat(path)
    if entry.kind is not EntryKind.FILE:
        raise ToolError(f"it is a {entry.kind.value} in the shared workspace, and was left")
    return FileState(workspace.read_bytes(path, max_bytes=MAX_FILE_BYTES).stamp, _is_executable(entry))


def _is_executable(entry: Entry) -> bool:
    return bool(entry.mode & 0o100)


def _row(state: FileState) -> tuple[str, int, bool]:
    return state.stamp.sha256, state.stamp.size_bytes, state.is_executable


def _sync(folder: Path) -> None:
    """What was copied must outlast a power cut before it counts: a truncated file would come back as a change."""
    if hasattr(os, "sync"):
        os.sync()  # One call for tens of thousands of files.
        return
    for file in folder.rglob("*"):
        if file.is_file():
            with file.open("r+b") as opened:
                os.fsync(opened.fileno())
