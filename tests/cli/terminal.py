"""A command on a terminal of its own: what it draws, and what a person types into it."""

import os
import pty
import re
import struct
import subprocess
import termios
import threading
from collections.abc import Generator
from contextlib import contextmanager
from fcntl import ioctl

from tests.cli.service import LIMIT_SECONDS, Cli

_STEERING = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


class Terminal:
    """The person's side: everything shown so far, and a keyboard."""

    def __init__(self, descriptor: int, process: subprocess.Popen[bytes]) -> None:
        self._descriptor = descriptor
        self._changed = threading.Condition()
        self._shown = b""
        self._is_closed = False
        self.process = process
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                chunk = os.read(self._descriptor, 65536)
            except OSError:  # Linux: the other side is closed.
                chunk = b""
            with self._changed:
                self._shown += chunk
                self._is_closed = not chunk
                self._changed.notify_all()
            if not chunk:
                return

    @property
    def raw(self) -> str:
        """All that was written, escape sequences included."""
        with self._changed:
            return self._shown.decode("utf-8", "replace")

    @property
    def text(self) -> str:
        """All that was written, without the escape sequences."""
        return _STEERING.sub("", self.raw)

    def wait_for(self, wanted: str) -> None:
        """Return when this text was shown."""
        with self._changed:
            came = self._changed.wait_for(lambda: wanted in self._text() or self._is_closed, LIMIT_SECONDS)
        assert came, f"{wanted!r} did not come; shown: {self.text[-2000:]}"
        assert wanted in self.text, f"the command ended without {wanted!r}; shown: {self.text[-2000:]}"

    def _text(self) -> str:
        return _STEERING.sub("", self._shown.decode("utf-8", "replace"))

    def type(self, keys: str) -> None:
        """Type; `\\x03` is Ctrl-C."""
        os.write(self._descriptor, keys.encode())

    def ended(self) -> int:
        """The exit code, when all was read."""
        code = self.process.wait(timeout=LIMIT_SECONDS)
        self._reader.join(timeout=LIMIT_SECONDS)
        return code


@contextmanager
def on_terminal(cli: Cli, *arguments: str, columns: int = 100, rows: int = 30) -> Generator[Terminal]:
    """Run a command as the foreground process of a new terminal."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = {
        name: value for name, value in cli.environment.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}
    }
    process = subprocess.Popen(
        cli.argv(*arguments),
        env={**environment, "TERM": "xterm-256color"},
        cwd=cli.folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        # The terminal becomes the new session's, so that Ctrl-C typed into it is a signal.
        preexec_fn=lambda: ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    try:
        yield Terminal(ours, process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        os.close(ours)
