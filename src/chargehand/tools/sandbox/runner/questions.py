"""The kernel's questions: a call that the filter does not decide stops until it is answered here.

Layouts and numbers are those of `struct seccomp_notif` and its answer, which are stable.
"""

# ruff: noqa: SIM105 - contextlib costs the runner 2 ms at each start

import errno
import fcntl
import os
import struct

_RECEIVE, _SEND, _IS_VALID, _ADD = 0xC0502100, 0xC0182101, 0x40082102, 0x40182103
_ADDITION = struct.Struct("=QIIII")
_AT_THAT_NUMBER = 1
_QUESTION = struct.Struct("=QIIiIQ6Q")
_ANSWER = struct.Struct("=QqiI")
_LET_IT_GO_ON = 1


class Question:
    """One stopped call: which, by whom, with which arguments."""

    def __init__(self, listener: int, content: bytes) -> None:
        self.listener = listener
        fields = _QUESTION.unpack(content)
        self.number: int = fields[0]
        self.task: int = fields[1]
        self.syscall: int = fields[3]
        self.arguments: tuple[int, ...] = fields[6:]

    def memory(self, address: int, size: int) -> bytes:
        """Bytes of the asking process, read once: what is decided about is what was read."""
        descriptor = os.open(f"/proc/{self.task}/mem", os.O_RDONLY | os.O_CLOEXEC)
        try:
            content = os.pread(descriptor, size, address)
        finally:
            os.close(descriptor)
        self._check_still_asked()
        return content

    def text(self, address: int) -> bytes:
        """A string that ends with NUL, such as a path."""
        content = b""
        while b"\0" not in content:
            # Up to the next page only: the one after it need not be there.
            step = 4096 - (address + len(content)) % 4096
            piece = self.memory(address + len(content), step)
            if not piece or len(content) > 4096:
                raise OSError(errno.ENAMETOOLONG, "path too long")
            content += piece
        return content.split(b"\0", 1)[0]

    def process(self) -> int:
        """The process that the asking thread belongs to."""
        with open(f"/proc/{self.task}/status", encoding="utf-8") as file:  # noqa: PTH123 - pathlib costs 5 ms
            for line in file:
                if line.startswith("Tgid:"):
                    return int(line.split()[1])
        raise OSError(errno.ESRCH, "the process is gone")

    def put(self, ours: int, number: int, *, closes_on_exec: bool) -> None:
        """Give the asking process a descriptor of ours under a number of its own, in place of what was there."""
        flags = os.O_CLOEXEC if closes_on_exec else 0
        fcntl.ioctl(self.listener, _ADD, _ADDITION.pack(self.number, _AT_THAT_NUMBER, ours, number, flags))

    def answer(self, value: int) -> None:
        self._send(value, 0, 0)

    def refuse(self, error_number: int) -> None:
        self._send(0, -error_number, 0)

    def let_go_on(self) -> None:
        """Only for calls whose arguments are plain numbers: memory could have changed since it was read."""
        self._send(0, 0, _LET_IT_GO_ON)

    def _check_still_asked(self) -> None:
        """A process id could stand for another process by now; then what was read is another's memory."""
        fcntl.ioctl(self.listener, _IS_VALID, self.number.to_bytes(8, "little"))

    def _send(self, value: int, error: int, flags: int) -> None:
        try:
            fcntl.ioctl(self.listener, _SEND, _ANSWER.pack(self.number, value, error, flags))
        except FileNotFoundError:
            pass  # the process was killed while it waited


def receive(listener: int) -> Question | None:
    """The next question; None when the asking process is gone already."""
    content = bytearray(_QUESTION.size)
    try:
        fcntl.ioctl(listener, _RECEIVE, content, True)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.EINTR, errno.EAGAIN}:
            return None
        raise
    return Question(listener, bytes(content))
