"""A small disk is full when it is filled, and empty again afterwards; where none can be mounted it says why."""

import errno
import os
from pathlib import Path

import pytest

from chaos.disks import NoDisk, mount, unmount


async def test_a_filled_disk_takes_no_byte_until_it_is_cleared(tmp_path: Path) -> None:
    try:
        disk = await mount(tmp_path / "disk")
    except NoDisk as reason:
        pytest.skip(str(reason))
    try:
        held = disk.folder / "held"
        held.write_bytes(b"before")

        disk.fill()

        with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
            (disk.folder / "more").write_bytes(b"x" * 8192)
        assert held.read_bytes() == b"before"
        disk.clear()
        (disk.folder / "more").write_bytes(b"x" * 8192)
    finally:
        await unmount(disk)
    assert not disk.folder.exists()
