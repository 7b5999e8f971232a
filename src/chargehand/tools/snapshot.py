"""Looks at what stands in a working folder, reading only what has changed, and brings a folder to a manifest.

Rule: links are neither followed nor kept. What cannot be read stays in the manifest as it was: it is not taken for
deleted. All of it blocks; callers on the event loop go through a thread.
"""

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from chargehand.domain.snapshot import MAX_PARTS, FileEntry, Manifest, Parts, path_problem
from chargehand.errors import ToolError
from chargehand.tools.disk_errors import FileMissing, QuotaExceeded
from chargehand.tools.entries import MIB, Entry, EntryKind, Quota
from chargehand.tools.ledger import Stamp
from chargehand.tools.paths import LogicalPath
from chargehand.tools.workspace import Workspace

MAX_FILE_BYTES = 256 * MIB
BATCH_BYTES, BATCH_FILES = 16 * MIB, 256
"""How much is held in memory at once."""

_SECOND_NS = 1_000_000_000
_FINE_NS, _COARSE_NS = 50_000_000, 2 * _SECOND_NS
"""Two changes so close may have one time: a file that was as young as this when it was seen is read again."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """A file as the disk described it when its content was read, and when that was."""

    size_bytes: int
    modified_ns: int
    changed_ns: int
    file_number: int
    at_ns: int
    sha256: str

    def still_holds(self, entry: Entry) -> bool:
        grain = _FINE_NS if entry.changed_ns % _SECOND_NS else _COARSE_NS
        return (
            self.size_bytes == entry.size_bytes
            and self.modified_ns == entry.modified_ns
            and self.changed_ns == entry.changed_ns
            and self.file_number == entry.file_number
            and max(entry.changed_ns, entry.modified_ns) + grain < self.at_ns
        )


@dataclass(slots=True)
class StatIndex:
    """What is known of the files of one folder without reading them."""

    _seen: dict[Parts, _Seen] = field(default_factory=dict[Parts, _Seen])

    def digest(self, entry: Entry) -> str | None:
        """The hash of an unchanged file."""
        seen = self._seen.get(entry.path.parts)
        return seen.sha256 if seen is not None and seen.still_holds(entry) else None

    def learn(self, entry: Entry, digest: str, at_ns: int) -> None:
        """The file that was described so before it was read had this content."""
        self._seen[entry.path.parts] = _Seen(
            entry.size_bytes, entry.modified_ns, entry.changed_ns, entry.file_number, at_ns, digest
        )

    def keep_only(self, there: Iterable[Parts]) -> None:
        """Forget files that are gone."""
        self._seen = {parts: self._seen[parts] for parts in there if parts in self._seen}


@dataclass(slots=True)
class Look:
    """What a folder holds: files whose content is known, files that must be read, and what is neither."""

    at_ns: int
    known: dict[Parts, FileEntry] = field(default_factory=dict[Parts, FileEntry])
    to_read: list[Entry] = field(default_factory=list[Entry])
    folders: set[Parts] = field(default_factory=set[Parts])
    others: list[Parts] = field(default_factory=list[Parts])
    """Links, pipes, sockets, devices."""
    unreadable: dict[Parts, str] = field(default_factory=dict[Parts, str])

    def manifest(self, before: Manifest) -> Manifest:
        """What the folder holds, once all of `to_read` is known; the unreadable as it was before."""
        files = dict(self.known)
        if self.unreadable:
            files |= {
                parts: entry
                for parts, entry in before.files.items()
                if any(parts[:depth] in self.unreadable for depth in range(1, len(parts) + 1))
            }
        full = {parts[:depth] for parts in (*files, *self.folders) for depth in range(1, len(parts))}
        return Manifest(files, frozenset(self.folders - full), before.base)


def look(workspace: Workspace, index: StatIndex, before: Manifest) -> Look:
    """Describe everything in the folder; nothing is read."""
    found = Look(time.time_ns())
    pending = [LogicalPath()]
    while pending:
        folder = pending.pop()
        try:
            listing = workspace.listing(folder)
        except FileMissing:
            continue  # Removed since its parent was listed.
        except ToolError as error:
            found.unreadable[folder.parts] = error.message
            continue
        for entry in listing:
            parts = entry.path.parts
            if problem := path_problem(parts):
                found.unreadable[parts] = problem
            elif entry.kind is EntryKind.FOLDER:
                found.folders.add(parts)
                if len(parts) < MAX_PARTS:
                    pending.append(entry.path)
            elif entry.kind is not EntryKind.FILE:
                found.others.append(parts)
            elif (digest := index.digest(entry)) is not None:
                found.known[parts] = FileEntry(digest, entry.size_bytes, _is_executable(entry, before))
            else:
                found.to_read.append(entry)
    if () in found.unreadable:
        raise ToolError(f"the workspace cannot be listed: {found.unreadable[()]}")
    return found


def read_some(workspace: Workspace, entries: Sequence[Entry]) -> list[tuple[Entry, bytes | ToolError]]:
    """The content of files, or why there is none; what is gone by now is left out."""
    found: list[tuple[Entry, bytes | ToolError]] = []
    for entry in entries:
        try:
            found.append((entry, workspace.read_bytes(entry.path, max_bytes=MAX_FILE_BYTES).data))
        except FileMissing:
            continue
        except ToolError as error:
            found.append((entry, error))
    return found


def entry_of(entry: Entry, data: bytes, before: Manifest) -> FileEntry:
    """A file that was read, as a manifest has it."""
    stamp = Stamp.of(data)
    return FileEntry(stamp.sha256, stamp.size_bytes, _is_executable(entry, before))


def check_quota(manifest: Manifest, quota: Quota) -> None:
    """QuotaExceeded for a manifest of more than a workspace may hold."""
    if manifest.size_bytes > quota.max_bytes or manifest.entries > quota.max_files:
        raise QuotaExceeded(
            f"the workspace has {manifest.size_bytes:,} bytes in {manifest.entries:,} files and folders; it may hold"
            f" {quota.max_bytes:,} in {quota.max_files:,}"
        )


def clear(workspace: Workspace, found: Look, wanted: Manifest) -> None:
    """Remove what the manifest does not have, links first; what cannot be removed is a ToolError."""
    for parts in found.others:
        workspace.remove(LogicalPath(parts))
    for parts in [*found.known, *(entry.path.parts for entry in found.to_read)]:
        if parts not in wanted.files:
            workspace.remove(LogicalPath(parts))
    remove_folders(workspace, found.folders - _folders_of(wanted))


def remove_folders(workspace: Workspace, folders: Iterable[Parts]) -> None:
    """Remove empty folders, the deepest first."""
    for parts in sorted(folders, key=len, reverse=True):
        workspace.remove_folder(LogicalPath(parts))


def make_folders(workspace: Workspace, manifest: Manifest) -> None:
    """Make the folders that hold no file."""
    for parts in sorted(manifest.folders):
        workspace.make_folder(LogicalPath(parts))


def write_some(
    workspace: Workspace, files: Iterable[tuple[Parts, FileEntry, bytes]], index: StatIndex
) -> None:
    """Write files of a manifest. They need not outlast a power cut: storage has them."""
    for parts, entry, data in files:
        path = LogicalPath(parts)
        workspace.write_bytes(path, data, mode=_mode_of(entry), durable=False)
        index.learn(workspace.stat(path), entry.sha256, time.time_ns())


def write_changed(
    workspace: Workspace, parts: Parts, before: FileEntry | None, now: FileEntry, data: bytes
) -> None:
    """Write what another has made of a file, unless it is not as it was before: FileChanged."""
    expected = Stamp(size_bytes=before.size_bytes, sha256=before.sha256) if before else None
    path, mode = LogicalPath(parts), _mode_of(now)
    workspace.write_bytes(path, data, expected=expected, only_new=before is None, mode=mode, durable=False)


def remove_changed(workspace: Workspace, parts: Parts, before: FileEntry) -> None:
    """Remove what another has removed, unless it is not as it was before: FileChanged."""
    workspace.remove(LogicalPath(parts), expected=Stamp(size_bytes=before.size_bytes, sha256=before.sha256))


def folders_left_empty(before: Manifest, now: Manifest) -> set[Parts]:
    """The folders that the change from one manifest to the other leaves without a purpose."""
    return _folders_of(before) - _folders_of(now)


def with_files(manifest: Manifest, wanted: Mapping[Parts, FileEntry | None]) -> Manifest:
    """The manifest with these files in it, or not (None); where something else stands in the way, that stays."""
    if not wanted:
        return manifest
    files = {parts: entry for parts, entry in manifest.files.items() if parts not in wanted}
    full = _folders_of(Manifest(files)) | manifest.folders
    for parts, entry in wanted.items():
        above = {parts[:depth] for depth in range(1, len(parts))}
        if entry is not None and parts not in full and above.isdisjoint(files):
            files[parts] = entry
            full |= above
    return Manifest(files, manifest.folders - _folders_of(Manifest(files)), manifest.base)


def batches(sizes: Mapping[Parts, int]) -> Iterator[list[Parts]]:
    """Paths in portions that fit into memory."""
    portion: list[Parts] = []
    total = 0
    for parts, size_bytes in sizes.items():
        if portion and (total + size_bytes > BATCH_BYTES or len(portion) >= BATCH_FILES):
            yield portion
            portion, total = [], 0
        portion.append(parts)
        total += size_bytes
    if portion:
        yield portion


def _folders_of(manifest: Manifest) -> set[Parts]:
    above = {
        parts[:depth] for parts in (*manifest.files, *manifest.folders) for depth in range(1, len(parts))
    }
    return above | manifest.folders


def _mode_of(entry: FileEntry) -> int:
    return 0o755 if entry.is_executable else 0o644


def _is_executable(entry: Entry, before: Manifest) -> bool:
    if os.name == "nt":
        # Windows knows no such bit: what another system has set stays.
        known = before.files.get(entry.path.parts)
        return known is not None and known.is_executable
    return bool(entry.mode & 0o100)
