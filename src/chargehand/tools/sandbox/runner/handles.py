"""Two ways to act on a socket of another process: take its descriptor, or put a socket of ours in its place.

Taking is exact, and forbidden in many containers. A stand-in needs only what answering questions needs; it loses
the options set before connect or bind, and an epoll registration made before them.
"""

import _socket
import errno
import os

from . import addresses, kernel
from .questions import Question

_CLOSE_ON_EXEC, _NO_WAIT = 0o2000000, 0o4000
_FORBIDDEN = (errno.EPERM, errno.ENOSYS)


class Taken:
    """The asking process's own socket, as a descriptor of ours."""

    def __init__(self, question: Question) -> None:
        pidfd = os.pidfd_open(question.process())
        try:
            self._descriptor = kernel.take_descriptor(pidfd, socket_number(question))
        finally:
            os.close(pidfd)

    def inode(self) -> int:
        return os.fstat(self._descriptor).st_ino

    def family(self) -> int:
        same = _socket.socket(fileno=os.dup(self._descriptor))
        try:
            return same.family
        finally:
            same.close()

    def connect(self, address: bytes) -> None:
        kernel.connect(self._descriptor, address)

    def bind(self, address: bytes) -> int:
        """Gives the inode of the socket that is bound."""
        kernel.bind(self._descriptor, address)
        return self.inode()

    def listen(self, backlog: int) -> None:
        kernel.listen(self._descriptor, backlog)

    def close(self) -> None:
        os.close(self._descriptor)


class StandIn:
    """A socket of ours that takes the place of the asking process's one, under the same number."""

    def __init__(self, question: Question, waiting: "dict[int, _socket.socket]") -> None:
        self._question = question
        self._number = socket_number(question)
        self._waiting = waiting
        """Stand-ins that are bound: the next call on them, listen or connect, is made here as well."""

    def inode(self) -> int:
        place = os.readlink(f"/proc/{self._question.task}/fd/{self._number}")  # noqa: PTH115 - pathlib costs 5 ms
        if not place.startswith("socket:["):
            raise OSError(errno.ENOTSOCK, "no socket")
        return int(place[8:-1])

    def family(self) -> int:
        bound = self._waiting.get(self.inode())
        return bound.family if bound is not None else addresses.INET

    def connect(self, address: bytes) -> None:
        bound = self._waiting.pop(self.inode(), None)
        ours = bound or _socket.socket(addresses.family_of(address), _socket.SOCK_STREAM)
        try:
            if bound is not None:
                os.set_blocking(bound.fileno(), True)
            kernel.connect(ours.fileno(), address)
            if bound is None:
                self._put(ours)
            os.set_blocking(ours.fileno(), not self._flags() & _NO_WAIT)
        finally:
            ours.close()

    def bind(self, address: bytes) -> int:
        """Gives the inode of the socket that is bound."""
        family = addresses.family_of(address)
        ours = _socket.socket(family, _socket.SOCK_STREAM)
        if family != addresses.UNIX:
            ours.setsockopt(_socket.SOL_SOCKET, _socket.SO_REUSEADDR, 1)
        kernel.bind(ours.fileno(), address)
        os.set_blocking(ours.fileno(), not self._flags() & _NO_WAIT)
        self._put(ours)
        inode = os.fstat(ours.fileno()).st_ino
        self._waiting[inode] = ours
        return inode

    def listen(self, backlog: int) -> None:
        bound = self._waiting.pop(self.inode(), None)
        if bound is None:
            raise OSError(errno.EACCES, "bind it first")
        # Closed here once it listens: held on, it would stay open after the command closed it.
        kernel.listen(bound.fileno(), backlog)
        bound.close()

    def close(self) -> None:
        """Nothing is held."""

    def _flags(self) -> int:
        with open(f"/proc/{self._question.task}/fdinfo/{self._number}", encoding="ascii") as file:  # noqa: PTH123 - pathlib costs 5 ms
            for line in file:
                if line.startswith("flags:"):
                    return int(line.split()[1], 8)
        return 0

    def _put(self, ours: "_socket.socket") -> None:
        closes = bool(self._flags() & _CLOSE_ON_EXEC)
        self._question.put(ours.fileno(), self._number, closes_on_exec=closes)


class Handles:
    """Finds out once which way is allowed here."""

    def __init__(self, *, may_take: bool) -> None:
        self._may_take = may_take
        self._waiting: dict[int, _socket.socket] = {}

    def of(self, question: Question) -> "Taken | StandIn":
        if self._may_take:
            try:
                return Taken(question)
            except OSError as error:
                if error.errno not in _FORBIDDEN:
                    raise
                self._may_take = False
        return StandIn(question, self._waiting)


def socket_number(question: Question) -> int:
    return question.arguments[0] & 0xFFFFFFFF
