"""Whether a folder lies on a network drive, by what systems print of their mounts."""

import sys
from pathlib import Path

import pytest

from chargehand.store import network_drive
from chargehand.store.network_drive import KINDS, kind_in_mount_output, kind_in_mountinfo, kind_of, warning

MOUNTINFO = """\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
40 22 0:40 / /srv/team rw,relatime shared:20 - nfs4 files.internal:/team rw,vers=4.2
41 22 0:41 / /srv/team\\040two rw,relatime - cifs //files.internal/two rw
42 40 254:2 / /srv/team/local rw,relatime - xfs /dev/vdb rw
43 22 0:43 / /home/me/remote rw,nosuid - fuse.sshfs me@far.internal:/ rw
44 22 254:3 / /covered rw - ext4 /dev/vdc rw
45 22 0:45 / /covered rw - smb3 //files.internal/three rw
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/var/lib/chargehand", "ext4"),
        ("/srv/team/chargehand", "nfs4"),
        ("/srv/teams", "ext4"),
        ("/srv/team two/chargehand", "cifs"),
        ("/srv/team/local/chargehand", "xfs"),
        ("/home/me/remote", "fuse.sshfs"),
        ("/covered/chargehand", "smb3"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="POSIX paths")
def test_linux_tells_by_the_deepest_mount(folder: str, kind: str) -> None:
    assert kind_in_mountinfo(MOUNTINFO, Path(folder)) == kind


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX paths")
def test_macos_tells_by_what_mount_prints() -> None:
    printed = (
        "/dev/disk3s1s1 on / (apfs, sealed, local, read-only, journaled)\n"
        "//me@files.internal/team on /Volumes/team (smbfs, nodev, nosuid, mounted by me)\n"
    )

    assert kind_in_mount_output(printed, Path("/Volumes/team/chargehand")) == "smbfs"
    assert kind_in_mount_output(printed, Path("/Users/me/chargehand")) == "apfs"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux' table of mounts")
def test_a_folder_that_is_not_there_yet_is_where_it_will_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTINFO.replace("/srv/team ", f"{tmp_path.resolve()} "), encoding="utf-8")
    monkeypatch.setattr(network_drive, "MOUNTS", mounts)

    assert kind_of(tmp_path / "not" / "yet") == "nfs4"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux' table of mounts")
def test_a_machine_without_such_a_table_is_taken_for_local(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network_drive, "MOUNTS", tmp_path / "missing")

    assert kind_of(tmp_path) is None


def test_local_kinds_are_none_and_the_warning_names_both_ways_out() -> None:
    said = warning(Path("data"), "nfs4")

    assert not KINDS & {"ext4", "xfs", "apfs", "tmpfs", "overlay", "btrfs"}
    assert "CHARGEHAND_DATA_DIR" in said
    assert "CHARGEHAND_DATABASE_URL" in said
