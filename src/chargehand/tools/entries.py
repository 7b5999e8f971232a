"""What stands in a workspace, how much of it, and how much may.

Rule: a link is an entry of its own, never what it points to.
"""

import os
import stat
from dataclasses import dataclass
from enum import StrEnum

from chargehand.tools.ledger import Stamp
from chargehand.tools.paths import LogicalPath

MIB = 1024 * 1024


class EntryKind(StrEnum):
    """What stands at a path."""

    FILE = "file"
    FOLDER = "folder"
    LINK = "link"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One path of a listing. Links are themselves, never what they point to."""

    path: LogicalPath
    kind: EntryKind
    size_bytes: int
    modified_ns: int
    mode: int
    changed_ns: int
    """When the disk last noted a change, of times and permissions too; commands cannot set it."""
    file_number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """A file as it was read."""

    data: bytes
    stamp: Stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How much a workspace may hold. Folders and links count as files: each costs an inode."""

    max_bytes: int = 2048 * MIB
    max_files: int = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How much a workspace holds."""

    size_bytes: int
    files: int


def entry_at(path: LogicalPath, status: os.stat_result) -> Entry:
    """What the disk said of a path, as a listing gives it."""
    return Entry(
        path=path,
        kind=_kind(status.st_mode),
        size_bytes=status.st_size,
        modified_ns=status.st_mtime_ns,
        mode=stat.S_IMODE(status.st_mode),
        changed_ns=status.st_ctime_ns,
        file_number=status.st_ino,
    )


def _kind(mode: int) -> EntryKind:
    if stat.S_ISREG(mode):
        return EntryKind.FILE
    if stat.S_ISDIR(mode):
        return EntryKind.FOLDER
    return EntryKind.LINK if stat.S_ISLNK(mode) else EntryKind.OTHER
