"""Decides on connect, bind and listen of a command that has no network namespace of its own.

Rule: what is checked is what is done. The address is read once, and the call is made from here, on the command's
own socket, with the bytes that were checked. A command reaches loopback ports on which it listens itself, and
UNIX sockets in folders that it may write; nothing else, and nobody reaches it but over loopback.
"""

import _socket
import errno
import os

from . import addresses, kernel
from .paths import Paths
from .questions import Question

_LONGEST_ADDRESS = 128
_FIRST_FREE_PORT = 1024


class Sockets:
    """The sockets of one command."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._bound: set[int] = set()
        self._abstract: set[bytes] = set()

    def connect(self, question: Question) -> None:
        """connect(socket, address, size). It may wait for the peer."""
        address = _address(question)
        with Taken(question) as taken:
            if addresses.family_of(address) == addresses.UNIX:
                self._connect_unix(question, taken, address)
                return
            if not addresses.is_loopback(address):
                raise OSError(errno.ENETUNREACH, "only loopback can be reached")
            listeners = addresses.listeners_on(addresses.port_of(address))
            if not listeners or not listeners <= self._bound:
                raise OSError(errno.ECONNREFUSED, "no listener of this command")
            kernel.connect(taken.descriptor, address)

    def bind(self, question: Question) -> None:
        """bind(socket, address, size). All interfaces become loopback."""
        address = _address(question)
        with Taken(question) as taken:
            if addresses.family_of(address) == addresses.UNIX:
                self._bind_unix(question, taken, address)
                return
            local = addresses.on_loopback(address)
            if local is None:
                raise OSError(errno.EADDRNOTAVAIL, "only loopback can be bound")
            if 0 < addresses.port_of(local) < _FIRST_FREE_PORT:
                raise OSError(errno.EACCES, "ports below 1024 belong to the system")
            kernel.bind(taken.descriptor, local)
            self._bound.add(taken.inode)

    def listen(self, question: Question) -> None:
        """listen(socket, backlog)"""
        with Taken(question) as taken:
            # The kernel binds a socket that listens without an address to all interfaces.
            if taken.family() != addresses.UNIX and taken.inode not in self._bound:
                raise OSError(errno.EACCES, "bind to a loopback address first")
            kernel.listen(taken.descriptor, question.arguments[1] & 0x7FFFFFFF)

    def _connect_unix(self, question: Question, taken: "Taken", address: bytes) -> None:
        path = _path_of(address)
        if path is None:
            if address not in self._abstract:
                raise OSError(errno.ECONNREFUSED, "no abstract socket of this command")
            kernel.connect(taken.descriptor, address)
            return
        pinned = self._paths.pin(question, path)
        try:
            kernel.connect(taken.descriptor, address[:2] + b"/proc/self/fd/%d\0" % pinned)
        finally:
            os.close(pinned)

    def _bind_unix(self, question: Question, taken: "Taken", address: bytes) -> None:
        path = _path_of(address)
        if path is None:
            kernel.bind(taken.descriptor, address)
            self._abstract.add(address)
            return
        pinned = self._paths.pin(question, os.path.dirname(path) or b".")  # noqa: PTH120 - pathlib costs 5 ms
        try:
            name = os.path.basename(path)  # noqa: PTH119 - pathlib costs 5 ms
            kernel.bind(taken.descriptor, address[:2] + b"/proc/self/fd/%d/%s\0" % (pinned, name))
        finally:
            os.close(pinned)


class Taken:
    """The socket that a question is about, as a descriptor of ours."""

    def __init__(self, question: Question) -> None:
        pidfd = os.pidfd_open(question.process())
        try:
            self.descriptor = kernel.take_descriptor(pidfd, question.arguments[0] & 0xFFFFFFFF)
        finally:
            os.close(pidfd)
        self.inode = os.fstat(self.descriptor).st_ino

    def __enter__(self) -> "Taken":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def family(self) -> int:
        same = _socket.socket(fileno=os.dup(self.descriptor))
        try:
            return same.family
        finally:
            same.close()


def _address(question: Question) -> bytes:
    _, where, size = question.arguments[:3]
    size &= 0xFFFFFFFF
    if size > _LONGEST_ADDRESS:
        raise OSError(errno.EINVAL, "no address is that long")
    address = question.memory(where, size)
    if addresses.family_of(address) not in {addresses.UNIX, addresses.INET, addresses.INET6}:
        raise OSError(errno.EAFNOSUPPORT, "only UNIX sockets and the internet's")
    return address


def _path_of(address: bytes) -> bytes | None:
    """The path of a UNIX address; None for an abstract name."""
    name = address[2:]
    return name.split(b"\0", 1)[0] if name and name[0] != 0 else None
