"""What the disk answered, in words that an agent can act on.

Rule: the logical path is named, never the host's; what no agent can help (no descriptors) stays an OSError.
"""

import errno
from collections.abc import Generator
from contextlib import contextmanager

from chargehand.errors import PathRefused, ToolError
from chargehand.tools.paths import LogicalPath, shown


class FileMissing(ToolError):
    """Nothing stands at the path."""

    code = "file_missing"


class FileChanged(ToolError):
    """The file holds something else than the caller expected."""

    code = "file_changed"


class QuotaExceeded(ToolError):
    """The workspace has no room for the write."""

    code = "workspace_full"


_LEAVES = (
    "it passes through a symbolic link that leads out of the workspace, is absolute, or stands in the way"
    " of a write; use the real path of the file inside the workspace"
)
_WORDS: dict[int, tuple[type[ToolError], str]] = {
    errno.ENOENT: (FileMissing, "there is no such file or folder"),
    errno.ENOTDIR: (ToolError, "a part of the path is a file, or a link, where a folder is needed"),
    errno.EISDIR: (ToolError, "it is a folder, not a file"),
    errno.ENOTEMPTY: (ToolError, "the folder is not empty"),
    errno.EXDEV: (PathRefused, _LEAVES),
    errno.ELOOP: (PathRefused, _LEAVES),
    errno.EMLINK: (PathRefused, _LEAVES),
    errno.EAGAIN: (PathRefused, "folders on the way are being renamed all the time; stop that and try again"),
    errno.ENXIO: (PathRefused, "it is no regular file (a pipe, socket or device)"),
    errno.ENAMETOOLONG: (PathRefused, "the name is too long for this disk"),
    errno.EINVAL: (PathRefused, "this disk does not take such a name"),
    errno.EACCES: (ToolError, "permission denied; change its mode with chmod in Bash if it is yours"),
    errno.EPERM: (ToolError, "the operation is not permitted on it"),
    errno.EROFS: (ToolError, "the disk is read-only"),
    errno.ENOSPC: (ToolError, "the disk is full; remove what is not needed"),
    errno.EDQUOT: (ToolError, "the disk quota is used up; remove what is not needed"),
    errno.EFBIG: (ToolError, "the file would be too large for this disk"),
    errno.EIO: (ToolError, "the disk failed to read or write it"),
}


@contextmanager
def explained(path: LogicalPath) -> Generator[None]:
    """Turn what the disk says about `path` into a `ToolError`."""
    try:
        yield
    except OSError as error:
        kind, words = _WORDS.get(error.errno or 0, (None, ""))
        if kind is None:
            raise
        raise kind(f"{shown(path)}: {words}") from error
