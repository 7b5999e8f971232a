"""What a workspace holds, by content: a manifest; and how what several workers have made of it becomes one.

Rule: a manifest that comes from storage is believed only after `Manifest.from_bytes` has looked at every name in it.
Links are in no manifest.
"""

import json
import re
import zlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from chargehand.errors import ContentDamaged

Parts = tuple[str, ...]

MAX_MANIFEST_BYTES = 64 * 1024 * 1024
MAX_PARTS = 64
MAX_PART_BYTES = 255
MAX_PATH_BYTES = 4096

_FORMAT = 1
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class FileEntry:
    """What one file holds."""

    sha256: str
    size_bytes: int
    is_executable: bool


@dataclass(frozen=True, slots=True)
class Manifest:
    """Every file of a workspace by its parts, and the folders that hold none."""

    files: Mapping[Parts, FileEntry] = field(default_factory=dict[Parts, FileEntry])
    folders: frozenset[Parts] = frozenset()
    base: str | None = None
    """Of a workspace of a task's own: the manifest of the shared one that it began as."""

    @property
    def size_bytes(self) -> int:
        """What the files come to."""
        return sum(entry.size_bytes for entry in self.files.values())

    @property
    def entries(self) -> int:
        """Files and folders, as quotas count them; a folder on the way to a file is one."""
        on_the_way = {
            parts[:depth] for parts in (*self.files, *self.folders) for depth in range(1, len(parts))
        }
        return len(self.files) + len(on_the_way | self.folders)

    def refers_to(self) -> set[str]:
        """The blobs that this manifest needs."""
        return {entry.sha256 for entry in self.files.values()} | ({self.base} if self.base else set())

    def to_bytes(self) -> bytes:
        """As it is stored; equal manifests have equal bytes."""
        rows = [
            [entry.sha256, entry.size_bytes, entry.is_executable, *parts]
            for parts, entry in sorted(self.files.items())
        ]
        data = {"format": _FORMAT, "base": self.base, "files": rows, "folders": sorted(self.folders)}
        # ASCII: a name on disk may hold what is no text, and comes back as it was.
        return zlib.compress(json.dumps(data, separators=(",", ":")).encode("ascii"), level=1)

    @classmethod
    def from_bytes(cls, stored: bytes) -> "Manifest":
        """The manifest, or ContentDamaged: no file is written by one that names what no workspace has."""
        try:
            unpacker = zlib.decompressobj()
            data: Any = json.loads(unpacker.decompress(stored, MAX_MANIFEST_BYTES))
            if not unpacker.eof or data["format"] != _FORMAT:
                raise ValueError("it is cut short, too large or of another format")
            found = cls(
                files={_checked(parts): _entry(*row) for *row, parts in map(_split, data["files"])},
                folders=frozenset(_checked(tuple(parts)) for parts in data["folders"]),
                base=None if data["base"] is None else _digest(data["base"]),
            )
            _require_a_tree(found, len(data["files"]))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, zlib.error) as error:
            raise ContentDamaged(f"the manifest of a workspace cannot be used: {error}") from error
        return found


def _split(row: list[Any]) -> list[Any]:
    return [*row[:3], tuple(row[3:])]


def _entry(digest: object, size_bytes: object, executable: object) -> FileEntry:
    if type(size_bytes) is not int or size_bytes < 0 or type(executable) is not bool:
        raise ValueError("a file's size or mode is none")
    return FileEntry(_digest(digest), size_bytes, executable)


def _digest(text: object) -> str:
    if not isinstance(text, str) or not _DIGEST.fullmatch(text):
        raise ValueError("a hash is none")
    return text


def _checked(parts: tuple[object, ...]) -> Parts:
    names = tuple(part for part in parts if isinstance(part, str))
    problem = path_problem(names) if len(names) == len(parts) else "it has a part that is no text"
    if problem:
        raise ValueError(f"a path of it is none: {problem}")
    return names


def path_problem(parts: Parts) -> str:
    """Why no manifest may name this path; empty when one may.

    These are names that a disk may have given. That a file really is made inside is decided when it is opened.
    """
    encoded = [name.encode("utf-8", "surrogateescape") for name in parts]
    if not 1 <= len(parts) <= MAX_PARTS:
        return f"it has no parts, or more than {MAX_PARTS}"
    if any(name in {"", ".", ".."} or "/" in name or "\x00" in name for name in parts):
        return "it leads elsewhere"
    if max(map(len, encoded)) > MAX_PART_BYTES or sum(map(len, encoded)) + len(parts) > MAX_PATH_BYTES:
        return "it is too long"
    return ""


def _require_a_tree(manifest: Manifest, listed: int) -> None:
    if len(manifest.files) != listed:
        raise ValueError("a path is named twice")
    for parts in (*manifest.files, *manifest.folders):
        if any(parts[:depth] in manifest.files for depth in range(1, len(parts))):
            raise ValueError("a file stands where a folder is needed")
    if not manifest.folders.isdisjoint(manifest.files):
        raise ValueError("a path is named twice")


def changes(before: Manifest, now: Manifest) -> dict[Parts, FileEntry | None]:
    """The files that differ, as they are now; None: gone."""
    return {
        parts: now.files.get(parts)
        for parts in before.files.keys() | now.files.keys()
        if before.files.get(parts) != now.files.get(parts)
    }


def merged(base: Manifest, mine: Manifest, theirs: Manifest) -> Manifest:
    """What I have changed since `base`, in what the others have made of it.

    A path that both have changed is mine. Where one has made a file and the other a folder of the same name, mine
    stands and theirs goes.
    """
    if theirs == base:
        return mine
    files = dict(theirs.files)
    my_changes = changes(base, mine)
    my_files = {parts for parts, entry in my_changes.items() if entry is not None}
    my_folders = mine.folders - base.folders
    for parts in _above(my_files | my_folders) | my_folders:
        files.pop(parts, None)
    for parts in [
        parts for parts in files if any(parts[:depth] in my_files for depth in range(1, len(parts)))
    ]:
        del files[parts]
    for parts, entry in my_changes.items():
        if entry is None:
            files.pop(parts, None)
        else:
            files[parts] = entry
    folders = (theirs.folders - (base.folders - mine.folders)) | my_folders
    return Manifest(files, _empty_ones(folders, files), theirs.base)


def _above(paths: Iterable[Parts]) -> set[Parts]:
    return {parts[:depth] for parts in paths for depth in range(1, len(parts))}


def _empty_ones(folders: Collection[Parts], files: Mapping[Parts, FileEntry]) -> frozenset[Parts]:
    """Those of the folders that are needed: nothing lies below them, and no file stands in their way."""
    needed_anyway = _above(files) | _above(folders)
    return frozenset(
        parts
        for parts in folders
        if parts not in needed_anyway
        and not any(parts[:depth] in files for depth in range(1, len(parts) + 1))
    )
