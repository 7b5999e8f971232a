"""The data folder: made for its owner only, and held by one process at a time.

Rule: an operating-system lock decides, which a killed process loses by dying; the text in `lock` only tells
others whom to talk to.
"""

import json
import os
import shutil
import sys
from pathlib import Path

from chargehand.errors import DataFolderInUse, StorageFull, Unavailable
from chargehand.store.windows_folders import local_folder

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class DataFolder:
    """An opened data folder; `close` gives it free."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def open(self, *, shared: bool = False) -> None:
        """Make the folder if need be and take its lock. DataFolderInUse, Unavailable; InvalidInput on Windows.

        `shared`: without the lock, beside other processes of this host; a database server keeps them apart.
        """
        if sys.platform == "win32":
            local_folder(str(self.path.absolute()), called="CHARGEHAND_DATA_DIR")
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self.path / "lock.held", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise Unavailable(
                f"the data folder {self.path} cannot be used ({error.strerror}); set CHARGEHAND_DATA_DIR to"
                " one that can be written"
            ) from error
        if shared:
            os.close(descriptor)
            return
        try:
            _lock(descriptor)
        except OSError as error:
            os.close(descriptor)
            raise DataFolderInUse(self._in_use()) from error
        self._descriptor = descriptor
        try:
            self.tell(url=None)
        except Unavailable:
            self.close()
            raise

    def tell(self, *, url: str | None) -> None:
        """Write who holds the folder and where it answers, for other processes of the same owner."""
        text = json.dumps({"pid": os.getpid(), "url": url})
        try:
            temporary = self.path / "lock.new"
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(self.path / "lock")
        except OSError as error:
            raise Unavailable(f"the data folder {self.path} cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Give the folder free."""
        if self._descriptor is not None:
            (self.path / "lock").unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None

    def check_space(self, reserve_bytes: int) -> None:
        """StorageFull when less than the reserve is free."""
        free = self.free_bytes()
        if free < reserve_bytes:
            raise StorageFull(
                f"only {free // 2**20} MiB are free where the data folder is and {reserve_bytes // 2**20} MiB"
                " are kept in reserve; free space, or lower CHARGEHAND_DISK_RESERVE_BYTES"
            )

    def free_bytes(self) -> int:
        """How much is free where the folder is."""
        return shutil.disk_usage(self.path).free

    def _in_use(self) -> str:
        holder = read_holder(self.path)
        who = f"process {holder['pid']}" if holder.get("pid") else "another process"
        where = f", which answers at {holder['url']}" if holder.get("url") else ""
        return (
            f"the data folder {self.path} is held by {who}{where}; use that service, stop it, or set"
            " CHARGEHAND_DATA_DIR to another folder"
        )


def read_holder(path: Path) -> dict[str, object]:
    """What `tell` wrote, or nothing. Only a hint: the process may be dead."""
    try:
        loaded: object = json.loads((path / "lock").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return loaded if isinstance(loaded, dict) else {}  # pyright: ignore[reportUnknownVariableType] - any JSON object
