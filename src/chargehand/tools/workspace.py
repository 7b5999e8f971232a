"""The folder a task works in: reading, writing and listing by logical path, inside its quota.

Rule: every problem is a `ToolError` in the agent's words, and no message holds a path of the host.
All of it blocks; callers on the event loop go through `asyncio.to_thread`.
"""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from chargehand.errors import PathRefused, ToolError
from chargehand.tools.disk_errors import FileChanged, QuotaExceeded, explained
from chargehand.tools.entries import MIB, Content, Entry, EntryKind, Quota, Usage, entry_at
from chargehand.tools.ledger import Stamp
from chargehand.tools.paths import (
    MOUNT_POINT,
    LogicalPath,
    check_writable,
    is_temporary,
    parse_path,
    parse_pattern,
    shown,
)
from chargehand.tools.root import Root, open_root
from chargehand.tools.shared import shared_hold

MAX_DEPTH = 64


class Workspace:
    """One folder, held open from construction to `close`."""

    def __init__(self, folder: Path, *, quota: Quota | None = None, root: Root | None = None) -> None:
        self.folder = folder.resolve(strict=True)
        self.quota = quota or Quota()
        self._root = root or open_root(self.folder)
        self._known_roots = (MOUNT_POINT, str(self.folder))
        self._shared = shared_hold(self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the folder go. Closing twice does nothing."""
        self._root.close()

    def path(self, text: str) -> LogicalPath:
        """The path that an agent means; `PathRefused` when it is none of this workspace's."""
        return parse_path(text, roots=self._known_roots)

    def pattern(self, text: str) -> tuple[str, ...]:
        """The parts of an agent's glob pattern, relative to the workspace."""
        return parse_pattern(text, roots=self._known_roots)

    def writable_path(self, text: str) -> LogicalPath:
        """As `path`, and one that file tools may write."""
        path = self.path(text)
        check_writable(path)
        return path

    def read_bytes(self, path: LogicalPath, *, max_bytes: int) -> Content:
        """The whole of a regular file; ToolError when it is larger, absent or no file."""
        with explained(path):
            descriptor = self._root.open_file(path)
            try:
                # The descriptor is checked, not the name: what the name stands for may change at any moment.
                found = os.fstat(descriptor)
                _check_regular(found.st_mode, path)
                _check_size(found.st_size, max_bytes, path)
                data = _read_at_most(descriptor, max_bytes + 1)
            finally:
                os.close(descriptor)
        _check_size(len(data), max_bytes, path)
        return Content(data=data, stamp=Stamp.of(data))

    def write_bytes(
        self,
        path: LogicalPath,
        data: bytes,
        *,
        expected: Stamp | None = None,
        only_new: bool = False,
        mode: int | None = None,
        durable: bool = True,
    ) -> Stamp:
        """Put the file in place at once, making the folders above it, and answer its stamp.

        `FileChanged` when the file holds something else than `expected`, or stands there already while
        `only_new`: of those who write from this process at once, one wins. What a command writes in the
        instant before the rename is not seen. A link at the path is replaced, never followed. Without a `mode`,
        permissions of a replaced file are kept, without setuid. `durable`: also over a power cut.
        """
        with self._shared.writing, explained(path):
            before = self._present(path)
            if before is not None and stat.S_ISDIR(before.st_mode):
                raise ToolError(f"{shown(path)} is a folder; name a file in it")
            if only_new and before is not None:
                raise FileChanged(f"{shown(path)} has been created meanwhile; read it")
            if expected is not None:
                self._check_unchanged(path, expected)
            self._reserve(path, len(data), before)
            if before is None:
                self._make_parents(path)
            if mode is None and before is not None and stat.S_ISREG(before.st_mode):
                mode = before.st_mode
            self._root.replace(path, data, mode=mode, durable=durable)
            self._count(len(data) - _counted_bytes(before), 1 if before is None else 0)
        return Stamp.of(data)

    def make_folder(self, path: LogicalPath) -> None:
        """Make a folder and those above it; one that exists is left as it is."""
        with self._shared.writing, explained(path):
            self._reserve(path, 0, None)
            self._count(0, self._root.make_folders(path))

    def remove(self, path: LogicalPath, *, expected: Stamp | None = None) -> None:
        """Remove a file, or a link itself. ToolError when it is not there or is a folder.

        `FileChanged` when the file holds something else than `expected`.
        """
        with self._shared.writing, explained(path):
            if expected is not None:
                self._check_unchanged(path, expected)
            before = self._root.lstat(path)
            self._root.remove(path)
            self._count(-_counted_bytes(before), -1)

    def remove_folder(self, path: LogicalPath) -> None:
        """Remove an empty folder. ToolError when it is none, is not empty or is not there."""
        with self._shared.writing, explained(path):
            self._root.remove_folder(path)
            self._count(0, -1)

    def stat(self, path: LogicalPath) -> Entry:
        """What stands at the path; ToolError when nothing does."""
        with explained(path):
            return entry_at(path, self._root.lstat(path))

    def exists(self, path: LogicalPath) -> bool:
        """Whether anything stands at the path. A link exists, even a dangling one."""
        with explained(path):
            return self._present(path) is not None

    def link_target(self, path: LogicalPath) -> str:
        """Where a link points, in its own words."""
        with explained(path):
            return self._root.link_target(path)

    def listing(self, path: LogicalPath) -> list[Entry]:
        """What a folder holds, by name; files in the making are not shown."""
        with explained(path):
            found = self._root.scan(path)
        return sorted(
            (entry_at(path.child(name), status) for name, status in found if not is_temporary(name)),
            key=lambda entry: entry.path.name,
        )

    def walk(self, start: LogicalPath, *, enter: Callable[[Entry], bool] | None = None) -> Iterator[Entry]:
        """Everything below `start`, folders before what they hold. `enter` says which folders to look into.

        Links are never followed; folders that vanish, cannot be read or lie too deep are passed over.
        """
        pending = [iter(self.listing(start))]
        while pending:
            entry = next(pending[-1], None)
            if entry is None:
                pending.pop()
                continue
            yield entry
            if (
                entry.kind is EntryKind.FOLDER
                and len(pending) < MAX_DEPTH
                and (enter is None or enter(entry))
            ):
                try:
                    pending.append(iter(self.listing(entry.path)))
                except ToolError:
                    continue

    def usage(self) -> Usage:
        """Measure what the workspace holds. Call it after each command: writes go by this figure."""
        size_bytes = files = 0
        pending = [LogicalPath()]
        while pending:
            folder = pending.pop()
            try:
                found = self._root.scan(folder)
            except OSError:
                continue
            for name, status in found:
                files += 1
                size_bytes += _counted_bytes(status)
                if stat.S_ISDIR(status.st_mode) and len(folder.parts) < MAX_DEPTH:
                    pending.append(folder.child(name))
        self._shared.usage = Usage(size_bytes=size_bytes, files=files)
        return self._shared.usage

    def _present(self, path: LogicalPath) -> os.stat_result | None:
        try:
            return self._root.lstat(path)
        except FileNotFoundError:
            return None

    def _check_unchanged(self, path: LogicalPath, expected: Stamp) -> None:
        has_its_size = self._root.lstat(path).st_size == expected.size_bytes
        if not has_its_size or self.read_bytes(path, max_bytes=expected.size_bytes).stamp != expected:
            raise FileChanged(f"{shown(path)} was changed since it was read; read it again")

    def _make_parents(self, path: LogicalPath) -> None:
        try:
            self._root.lstat(path.parent)
        except FileNotFoundError:
            self._count(0, self._root.make_folders(path.parent))

    def _reserve(self, path: LogicalPath, size_bytes: int, before: os.stat_result | None) -> None:
        """Refuse a write that the quota has no room for; before a refusal the figure is measured anew."""
        for usage in (self._shared.usage or self.usage(), None):
            current = usage or self.usage()
            total = current.size_bytes + size_bytes - _counted_bytes(before)
            files = current.files + (before is None)
            if total <= self.quota.max_bytes and files <= self.quota.max_files:
                return
        if total > self.quota.max_bytes:
            limit = f"{self.quota.max_bytes:,} bytes"
            raise QuotaExceeded(
                f"no room for {shown(path)}: the workspace may hold {limit}; remove what is not needed"
            )
        limit = f"{self.quota.max_files:,} files and folders"
        raise QuotaExceeded(
            f"no room for {shown(path)}: the workspace may hold {limit}; remove what is not needed"
        )

    def _count(self, size_bytes: int, files: int) -> None:
        known = self._shared.usage
        if known is not None:
            self._shared.usage = Usage(size_bytes=known.size_bytes + size_bytes, files=known.files + files)


def _counted_bytes(status: os.stat_result | None) -> int:
    return status.st_size if status is not None and stat.S_ISREG(status.st_mode) else 0


def _check_regular(mode: int, path: LogicalPath) -> None:
    if stat.S_ISDIR(mode):
        raise ToolError(f"{shown(path)} is a folder, not a file; list it with Glob")
    if not stat.S_ISREG(mode):
        raise PathRefused(f"{shown(path)} is no regular file (a pipe, socket or device) and is not opened")


def _check_size(size_bytes: int, max_bytes: int, path: LogicalPath) -> None:
    if size_bytes > max_bytes:
        raise ToolError(
            f"{shown(path)} has {size_bytes:,} bytes or more; at most {max_bytes:,} are read at once."
            " Look for the part you need with Grep, or cut it out with Bash (head, tail, sed -n)"
        )


def _read_at_most(descriptor: int, max_bytes: int) -> bytes:
    chunks: list[bytes] = []
    missing = max_bytes
    while missing and (chunk := os.read(descriptor, min(missing, MIB))):
        chunks.append(chunk)
        missing -= len(chunk)
    return b"".join(chunks)
