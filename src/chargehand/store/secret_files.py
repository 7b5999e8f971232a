"""Small files that only their owner may read: the pepper, the administrator's key.

Rule: such a file is never readable by others, not even for a moment, and appears whole or not at all.
"""

import errno
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from chargehand.errors import StorageFull, Unavailable


def read_secret(path: Path) -> bytes | None:
    """The content, or None when there is no such file. Unavailable when it cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unavailable(f"{path} cannot be read ({error.strerror}); give its owner access") from error


def write_secret(path: Path, content: bytes) -> None:
    """Put the file there, or in the place of the one that was there. StorageFull, Unavailable."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # mkstemp makes the file with mode 0600, whatever the umask.
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                if sys.platform == "win32":
                    _only_for_owner(temporary)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise StorageFull(f"{path} cannot be written: the disk is full; free space") from error
        raise Unavailable(
            f"{path} cannot be written ({error.strerror}); give its owner access to the folder"
        ) from error


def owner_only_command(path: Path, user: str) -> list[str]:
    """The Windows command that takes inherited rights away and leaves the owner's, and administrators', who may
    read everything anyway: of a service's key they are the ones who use it."""
    return ["icacls", str(path), "/inheritance:r", "/grant:r", f"{user}:(F)", "*S-1-5-32-544:(F)"]


def sid_in(whoami: str) -> str:
    """The caller's number in what `whoami /user /fo csv /nh` prints, as icacls takes it.

    Names will not do: a service's own account is called by the machine's name in its environment.
    """
    found = re.findall(r'"(S-1-[0-9-]+)"', whoami)
    if len(found) != 1:
        raise PermissionError(errno.EPERM, "whoami did not tell whose process this is")
    return f"*{found[0]}"


def _only_for_owner(path: Path) -> None:
    """Untried: no Windows machine was at hand. Before anything is written; a failure stops the writing."""
    asked = subprocess.run(["whoami", "/user", "/fo", "csv", "/nh"], capture_output=True, check=False)  # noqa: S607 - a program of Windows
    command = owner_only_command(path, sid_in(asked.stdout.decode("ascii", "replace")))
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603 - a fixed list, no shell
    if done.returncode != 0:
        raise PermissionError(done.returncode, "icacls could not restrict the file to its owner", str(path))
