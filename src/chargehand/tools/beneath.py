"""Open a path below a held directory descriptor, so that no link and no race can lead outside (POSIX).

Rule: the decision falls in the open itself, never on a string before it. Linux asks the kernel (openat2);
elsewhere, and where openat2 is missing or filtered, the path is walked part by part.
"""

import ctypes
import errno
import functools
import os
import sys
from collections.abc import Sequence
from typing import Protocol

_RESOLVE_NO_XDEV = 0x01
_RESOLVE_NO_MAGICLINKS = 0x02
_RESOLVE_NO_SYMLINKS = 0x04
_RESOLVE_BENEATH = 0x08
_SYS_OPENAT2 = 437
"""The same number on every architecture: openat2 came after Linux unified its tables."""

_RACED_OPENS = 128
_MAX_LINKS = 40
"""As many as the kernel follows in one path."""

_PASS_THROUGH = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MAYBE_A_LINK = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EMLINK})
"""What opening a symbolic link with O_NOFOLLOW answers; it differs between systems and flags."""


class Opener(Protocol):
    """Opens `parts` below `root` and answers a descriptor that the caller closes.

    `follow` lets relative links that stay inside be followed; without it every link is refused. OSErrors:
    EXDEV for a path that leaves the root (an absolute link always does), ELOOP for a link not to be followed.
    """

    def __call__(self, root: int, parts: Sequence[str], flags: int, *, follow: bool) -> int: ...


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_by_kernel(root: int, parts: Sequence[str], flags: int, *, follow: bool) -> int:
    """Linux 5.6 and later: one system call that stays beneath the root, or fails."""
    resolve = (
        _RESOLVE_BENEATH | _RESOLVE_NO_MAGICLINKS | _RESOLVE_NO_XDEV | (0 if follow else _RESOLVE_NO_SYMLINKS)
    )
    how = _OpenHow(flags | os.O_CLOEXEC, 0, resolve)
    # ctypes cuts at the first NUL, which would open another file than the one that was checked.
    path = b"/".join(os.fsencode(part) for part in parts) or b"."
    if b"\x00" in path:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    code = errno.EAGAIN
    for _ in range(_RACED_OPENS):
        descriptor = _libc().syscall(_SYS_OPENAT2, root, path, ctypes.byref(how), ctypes.sizeof(how))
        if descriptor >= 0:
            return descriptor
        code = ctypes.get_errno()
        # EAGAIN: a rename went on beside the lookup, so the kernel could not vouch for it.
        if code not in {errno.EAGAIN, errno.EINTR}:
            break
    raise OSError(code, os.strerror(code))


def open_by_walk(root: int, parts: Sequence[str], flags: int, *, follow: bool) -> int:
    """Everywhere else: one open per part, relative to the descriptor before it, links expanded by hand."""
    device = os.fstat(root).st_dev
    held: list[int] = []
    pending = list(reversed(parts))
    links = 0
    try:
        while pending:
            part = pending.pop()
            if part in {"", "."}:
                continue
            here = held[-1] if held else root
            if part == "..":
                # Only a link's target says so. Up is where the walk came from, never the disk's "..".
                if not held:
                    raise _refused(errno.EXDEV)
                os.close(held.pop())
                continue
            try:
                wanted = _PASS_THROUGH if pending else flags | os.O_NOFOLLOW | os.O_CLOEXEC
                opened = os.open(part, wanted, dir_fd=here)
            except OSError as error:
                target = _link_target(part, here) if error.errno in _MAYBE_A_LINK else None
                if target is None:
                    raise
                links += 1
                if not follow or links > _MAX_LINKS:
                    raise _refused(errno.ELOOP) from None
                if target.startswith("/"):
                    raise _refused(errno.EXDEV) from None
                pending.extend(reversed(target.split("/")))
                continue
            held.append(opened)
            if os.fstat(opened).st_dev != device:
                raise _refused(errno.EXDEV)
            if not pending:
                return held.pop()
        return os.open(".", flags | os.O_CLOEXEC, dir_fd=held[-1] if held else root)
    finally:
        for descriptor in held:
            os.close(descriptor)


@functools.cache
def best_opener() -> Opener:
    """The kernel's way where it really works on this machine, else the walk."""
    if sys.platform != "linux":
        return open_by_walk
    root = os.open("/", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(open_by_kernel(root, (), os.O_RDONLY | os.O_DIRECTORY, follow=False))
    except OSError:
        return open_by_walk
    finally:
        os.close(root)
    return open_by_kernel


@functools.cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    libc.syscall.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)
    return libc


def _link_target(name: str, folder: int) -> str | None:
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError:
        return None


def _refused(code: int) -> OSError:
    return OSError(code, os.strerror(code))
