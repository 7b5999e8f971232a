"""Paths that a command names in a call which is made for it: held open first, judged by where they really are.

Rule: only what lies in a folder that the command may write. The path is resolved once; what is then used is the
open descriptor.
"""

import errno
import os

from .questions import Question

_WORKING_FOLDER = -100
_NO_FOLLOW = 0x100
_SET_IDS = 0o6000
_OWN_PROC = (b"/proc/self/", b"/proc/thread-self/", b"/dev/fd/")


class Paths:
    """Changes of mode, and paths of UNIX sockets."""

    def __init__(self, writable: list[str]) -> None:
        self._writable = [os.path.realpath(folder) for folder in writable]

    def chmod(self, question: Question) -> None:
        """chmod(path, mode)"""
        self._change(question, _WORKING_FOLDER, *question.arguments[:2], flags=0)

    def fchmodat(self, question: Question) -> None:
        """fchmodat(folder, path, mode), which has no flags"""
        folder, path, mode = question.arguments[:3]
        self._change(question, _signed(folder), path, mode, flags=0)

    def fchmodat2(self, question: Question) -> None:
        """fchmodat2(folder, path, mode, flags)"""
        folder, path, mode, flags = question.arguments[:4]
        self._change(question, _signed(folder), path, mode, flags=flags)

    def pin(
        self, question: Question, path: bytes, *, folder: int = _WORKING_FOLDER, follow: bool = True
    ) -> int:
        """A descriptor of what the path leads to; PermissionError when that is not the command's to change."""
        descriptor = _open(question, path, folder, 0 if follow else os.O_NOFOLLOW)
        if not self._is_writable(descriptor):
            os.close(descriptor)
            raise PermissionError(errno.EACCES, "outside the folders that may be written")
        return descriptor

    def _change(self, question: Question, folder: int, address: int, mode: int, *, flags: int) -> None:
        path = question.text(address)
        if not path:
            raise FileNotFoundError(errno.ENOENT, "empty path")
        if mode & _SET_IDS:
            raise PermissionError(errno.EPERM, "no set-id bits")
        pinned = self.pin(question, path, folder=folder, follow=not flags & _NO_FOLLOW)
        try:
            os.chmod(f"/proc/self/fd/{pinned}", mode & 0o7777)  # noqa: PTH101 - pathlib costs the runner 5 ms
        finally:
            os.close(pinned)

    def _is_writable(self, descriptor: int) -> bool:
        place = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 - pathlib costs the runner 5 ms
        return any(place == folder or place.startswith(f"{folder}/") for folder in self._writable)


def _open(question: Question, path: bytes, folder: int, flags: int) -> int:
    for own in _OWN_PROC:
        # `self` would be this process: the command's own is meant.
        if path.startswith(own):
            rest = path[len(own) :]
            path = b"/proc/%d/%s%s" % (question.process(), b"fd/" if own == b"/dev/fd/" else b"", rest)
    start = "cwd" if folder == _WORKING_FOLDER else f"fd/{folder}"
    base = os.open(f"/proc/{question.task}/{start}", os.O_PATH | os.O_CLOEXEC)
    try:
        return os.open(path, os.O_PATH | os.O_CLOEXEC | flags, dir_fd=base)
    finally:
        os.close(base)


def _signed(value: int) -> int:
    value &= 0xFFFFFFFF
    return value - (1 << 32) if value & 0x80000000 else value
