"""Swaps names in a workspace for links to the outside and back, as fast as it can, until its input closes.

The race test runs it: what a task's own background process could do while the service opens files.
"""

import ctypes
import os
import select
import sys
from collections.abc import Callable
from pathlib import Path

AT_FDCWD = -100
RENAME_EXCHANGE = 2
SWAPS_PER_LOOK = 200


def main() -> None:
    top = Path(sys.argv[1])
    pairs = [(top / "folder", top / "folder-link"), (top / "file.txt", top / "file-link")]
    exchange = exchange_in_one_call() if sys.platform == "linux" else exchange_by_renames
    print("swapping", flush=True)  # noqa: T201 - the test waits for this line
    while not select.select([sys.stdin], [], [], 0)[0]:
        for _ in range(SWAPS_PER_LOOK):
            for one, other in pairs:
                exchange(os.fsencode(one), os.fsencode(other))


def exchange_in_one_call() -> Callable[[bytes, bytes], None]:
    libc = ctypes.CDLL(None, use_errno=True)

    def exchange(one: bytes, other: bytes) -> None:
        if libc.renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE) != 0:
            raise OSError(ctypes.get_errno(), "renameat2")

    return exchange


def exchange_by_renames(one: bytes, other: bytes) -> None:
    aside = Path(os.fsdecode(one + b"-aside"))
    Path(os.fsdecode(one)).rename(aside)
    Path(os.fsdecode(other)).rename(os.fsdecode(one))
    aside.rename(os.fsdecode(other))


if __name__ == "__main__":
    main()
