"""A folder held by handles (Windows), where no call takes a path relative to a folder's descriptor.

Rule: a folder is opened, checked on its handle and kept open so that nobody can rename it or a folder above
it; only then is a name in it used. Not yet tried on a Windows machine: the pure parts have tests.
"""

import ctypes
import errno
import functools
import ntpath
import os
import secrets
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from chargehand.tools.paths import TEMPORARY_PREFIX, LogicalPath

_GENERIC_READ = 0x80000000
_SHARE_READ_WRITE = 0x3
_SHARE_DELETE = 0x4
_OPEN_EXISTING = 3
_BACKUP_SEMANTICS = 0x02000000
_OPEN_REPARSE_POINT = 0x00200000
_INVALID_HANDLE = ctypes.c_void_p(-1).value
_MAX_FINAL_CHARACTERS = 32_768


class WindowsRoot:
    """See `Root`. Junctions and links are refused everywhere, also those that stay inside."""

    def __init__(self, folder: Path) -> None:
        self._handle: int | None = _open_handle(str(folder), share=_SHARE_READ_WRITE)
        self._final = _final_path(self._handle)

    def close(self) -> None:
        if self._handle is not None:
            _kernel32().CloseHandle(self._handle)
            self._handle = None

    def open_file(self, path: LogicalPath) -> int:
        import msvcrt  # noqa: PLC0415  # exists on Windows only

        with self._pinned(path.parent) as folder:
            handle = self._checked_handle(str(folder / path.name), share=_SHARE_READ_WRITE | _SHARE_DELETE)
            return msvcrt.open_osfhandle(handle, os.O_RDONLY | os.O_BINARY)

    def lstat(self, path: LogicalPath) -> os.stat_result:
        with self._pinned(path.parent) as folder:
            return (folder / path.name).lstat()

    def link_target(self, path: LogicalPath) -> str:
        with self._pinned(path.parent) as folder:
            return str((folder / path.name).readlink())

    def scan(self, path: LogicalPath) -> list[tuple[str, os.stat_result]]:
        found: list[tuple[str, os.stat_result]] = []
        with self._pinned(path) as folder, os.scandir(folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    # Not entry.stat(): it answers from the listing, where sizes and links may be stale.
                    found.append((entry.name, os.lstat(entry.path)))
        return found

    def replace(self, path: LogicalPath, data: bytes, *, mode: int | None, durable: bool = True) -> None:
        # Windows has one permission bit, and rename keeps none of it: `mode` says whether to stay read-only.
        with self._pinned(path.parent) as folder:
            temporary = folder / (TEMPORARY_PREFIX + secrets.token_hex(8))
            try:
                with temporary.open("xb") as file:
                    file.write(data)
                    file.flush()
                    if durable:
                        os.fsync(file.fileno())
                temporary.replace(folder / path.name)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            if mode is not None and not mode & stat.S_IWRITE:
                (folder / path.name).chmod(stat.S_IREAD)

    def make_folders(self, path: LogicalPath) -> int:
        made = 0
        for depth in range(1, len(path.parts) + 1):
            step = LogicalPath(path.parts[:depth])
            with self._pinned(step.parent) as folder, suppress(FileExistsError):
                (folder / step.name).mkdir()
                made += 1
        return made

    def remove(self, path: LogicalPath) -> None:
        with self._pinned(path.parent) as folder:
            (folder / path.name).unlink()

    def remove_folder(self, path: LogicalPath) -> None:
        with self._pinned(path.parent) as folder:
            (folder / path.name).rmdir()

    @contextmanager
    def _pinned(self, path: LogicalPath) -> Generator[Path]:
        """The folder's own final path, which stays true while the block runs."""
        # Without FILE_SHARE_DELETE nobody can rename this folder, or one above it, while the handle is open.
        handle = self._checked_handle(ntpath.join(self._final, *path.parts), share=_SHARE_READ_WRITE)
        try:
            yield Path(_final_path(handle))
        finally:
            _kernel32().CloseHandle(handle)

    def _checked_handle(self, place: str, *, share: int) -> int:
        handle = _open_handle(place, share=share)
        try:
            if _is_reparse_point(handle):
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            if not lies_beneath(_final_path(handle), self._final):
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        except BaseException:
            _kernel32().CloseHandle(handle)
            raise
        return handle


def lies_beneath(place: str, root: str) -> bool:
    """Whether a final path is the root's or below it, compared part by part and without regard to case."""
    inside = [part.casefold() for part in place.rstrip("\\").split("\\")]
    outside = [part.casefold() for part in root.rstrip("\\").split("\\")]
    return inside[: len(outside)] == outside


@functools.cache
def _kernel32() -> ctypes.CDLL:
    kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    kernel32.CreateFileW.restype = ctypes.c_void_p
    kernel32.CreateFileW.argtypes = (
        ctypes.c_wchar_p,
        ctypes.c_uint32,
        ctypes.c_uint32,
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_uint32,
        ctypes.c_void_p,
    )
    kernel32.CloseHandle.argtypes = (ctypes.c_void_p,)
    kernel32.GetFinalPathNameByHandleW.argtypes = (
        ctypes.c_void_p,
        ctypes.c_wchar_p,
        ctypes.c_uint32,
        ctypes.c_uint32,
    )
    kernel32.GetFileInformationByHandle.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    return kernel32


def _open_handle(place: str, *, share: int) -> int:
    how = _BACKUP_SEMANTICS | _OPEN_REPARSE_POINT
    handle = _kernel32().CreateFileW(place, _GENERIC_READ, share, None, _OPEN_EXISTING, how, None)
    if handle is None or handle == _INVALID_HANDLE:
        raise ctypes.WinError(ctypes.get_last_error())
    return int(handle)


def _final_path(handle: int) -> str:
    text = ctypes.create_unicode_buffer(_MAX_FINAL_CHARACTERS)
    length = _kernel32().GetFinalPathNameByHandleW(handle, text, _MAX_FINAL_CHARACTERS, 0)
    if not 0 < length < _MAX_FINAL_CHARACTERS:
        raise ctypes.WinError(ctypes.get_last_error())
    return text.value


def _is_reparse_point(handle: int) -> bool:
    # BY_HANDLE_FILE_INFORMATION: 13 words, the first of them the attributes.
    information = (ctypes.c_uint32 * 13)()
    if not _kernel32().GetFileInformationByHandle(handle, ctypes.byref(information)):
        raise ctypes.WinError(ctypes.get_last_error())
    return bool(information[0] & stat.FILE_ATTRIBUTE_REPARSE_POINT)
