"""The data folder: one process at a time, told plainly; readable by its owner only."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from chargehand.errors import DataFolderInUse, StorageFull, Unavailable
from chargehand.store.folder import DataFolder, read_holder

HOLDER = """
import sys
from pathlib import Path
from chargehand.store.folder import DataFolder
folder = DataFolder(Path(sys.argv[1]))
folder.open()
folder.tell(url="http://127.0.0.1:8700")
print("held", flush=True)
sys.stdin.read()
"""


def a_holder(path: Path) -> subprocess.Popen[bytes]:
    """Another process that holds the folder until its standard input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    return process


def test_a_second_process_is_refused_and_told_who_holds_the_folder(tmp_path: Path) -> None:
    with a_holder(tmp_path) as holder:
        with pytest.raises(DataFolderInUse) as caught:
            DataFolder(tmp_path).open()
        holder.communicate(timeout=10)

    assert f"process {holder.pid}, which answers at http://127.0.0.1:8700" in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "CHARGEHAND_DATA_DIR" in str(caught.value)


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    with a_holder(tmp_path) as holder:
        holder.kill()
        holder.wait(timeout=10)
    folder = DataFolder(tmp_path)

    folder.open()

    assert read_holder(tmp_path) == {"pid": os.getpid(), "url": None}
    folder.close()


def test_a_closed_folder_can_be_opened_again_and_names_nobody(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    folder.open()
    folder.close()

    assert read_holder(tmp_path) == {}
    folder.open()
    folder.close()
    folder.close()


def test_the_same_process_cannot_hold_it_twice(tmp_path: Path) -> None:
    first = DataFolder(tmp_path)
    first.open()

    with pytest.raises(DataFolderInUse, match=f"process {os.getpid()}"):
        DataFolder(tmp_path).open()
    first.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits")
def test_a_new_folder_belongs_to_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "data"
    folder = DataFolder(path)

    folder.open()

    assert stat.S_IMODE(path.stat().st_mode) == 0o700
    assert stat.S_IMODE((path / "lock.held").stat().st_mode) == 0o600
    folder.close()


def test_a_path_that_cannot_be_a_folder_is_named_with_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here", encoding="utf-8")

    with pytest.raises(Unavailable, match=r"file/data cannot be used .* set CHARGEHAND_DATA_DIR"):
        DataFolder(tmp_path / "file" / "data").open()


@pytest.mark.parametrize("text", ["", "{", "[1]", '"a"', "\x00"])
def test_a_damaged_note_of_the_holder_is_read_as_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock").write_text(text, encoding="utf-8")

    assert read_holder(tmp_path) == {}


def test_less_free_space_than_the_reserve_refuses_new_work(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)

    folder.check_space(0)
    with pytest.raises(StorageFull, match="CHARGEHAND_DISK_RESERVE_BYTES"):
        folder.check_space(2**62)
