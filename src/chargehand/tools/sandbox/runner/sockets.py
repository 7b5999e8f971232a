"""Decides on connect, bind and listen of a command that has no network namespace of its own.

Rule: what is checked is what is done. The address is read once, and the call is made from here with the bytes
that were checked. A command reaches loopback ports on which it listens itself, and UNIX sockets in folders that
it may write; nothing else, and nobody reaches it but over loopback.
"""

import errno
import os

from . import addresses
from .handles import Handles, StandIn, Taken
from .paths import Paths
from .questions import Question

_LONGEST_ADDRESS = 128
_FIRST_FREE_PORT = 1024


class Sockets:
    """The sockets of one command."""

    def __init__(self, paths: Paths, handles: Handles) -> None:
        self._paths = paths
        self._handles = handles
        self._bound: set[int] = set()
        self._abstract: set[bytes] = set()

    def connect(self, question: Question) -> None:
        """connect(socket, address, size). It may wait for the peer."""
        address = _address(question)
        handle = self._handles.of(question)
        try:
            if addresses.family_of(address) == addresses.UNIX:
                self._connect_unix(question, handle, address)
                return
            if not addresses.is_loopback(address):
                raise OSError(errno.ENETUNREACH, "only loopback can be reached")
            listeners = addresses.listeners_on(addresses.port_of(address))
            if not listeners or not listeners <= self._bound:
                raise OSError(errno.ECONNREFUSED, "no listener of this command")
            handle.connect(address)
        finally:
            handle.close()

    def bind(self, question: Question) -> None:
        """bind(socket, address, size). All interfaces become loopback."""
        address = _address(question)
        handle = self._handles.of(question)
        try:
            if addresses.family_of(address) == addresses.UNIX:
                self._bind_unix(question, handle, address)
                return
            local = addresses.on_loopback(address)
            if local is None:
                raise OSError(errno.EADDRNOTAVAIL, "only loopback can be bound")
            if 0 < addresses.port_of(local) < _FIRST_FREE_PORT:
                raise OSError(errno.EACCES, "ports below 1024 belong to the system")
            self._bound.add(handle.bind(local))
        finally:
            handle.close()

    def listen(self, question: Question) -> None:
        """listen(socket, backlog)"""
        handle = self._handles.of(question)
        try:
            # The kernel binds a socket that listens without an address to all interfaces.
            if handle.family() != addresses.UNIX and handle.inode() not in self._bound:
                raise OSError(errno.EACCES, "bind to a loopback address first")
            handle.listen(question.arguments[1] & 0x7FFFFFFF)
        finally:
            handle.close()

    def _connect_unix(self, question: Question, handle: Taken | StandIn, address: bytes) -> None:
        path = _path_of(address)
        if path is None:
            if address not in self._abstract:
                raise OSError(errno.ECONNREFUSED, "no abstract socket of this command")
            handle.connect(address)
            return
        pinned = self._paths.pin(question, path)
        try:
            handle.connect(address[:2] + b"/proc/self/fd/%d\0" % pinned)
        finally:
            os.close(pinned)

    def _bind_unix(self, question: Question, handle: Taken | StandIn, address: bytes) -> None:
        path = _path_of(address)
        if path is None:
            handle.bind(address)
            self._abstract.add(address)
            return
        pinned = self._paths.pin(question, os.path.dirname(path) or b".")  # noqa: PTH120 - pathlib costs 5 ms
        try:
            name = os.path.basename(path)  # noqa: PTH119 - pathlib costs 5 ms
            handle.bind(address[:2] + b"/proc/self/fd/%d/%s\0" % (pinned, name))
        finally:
            os.close(pinned)


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
