"""Whether a folder lies on a network drive, where SQLite's locks and its shared memory cannot be relied on.

Best effort: what the system tells of itself, with no request to the drive. What cannot be told is taken for local.
"""

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path

KINDS = frozenset(
    {"9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "davfs", "fuse.davfs2", "fuse.glusterfs", "fuse.rclone"}
    | {
        "fuse.s3fs",
        "fuse.sshfs",
        "glusterfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "smb2",
        "smb3",
        "smbfs",
        "webdav",
    }
)
"""Types of file systems whose files lie on another machine."""
REMOTE_DRIVE = 4
"""What Windows' GetDriveTypeW calls a network drive."""
MOUNTS = Path("/proc/self/mountinfo")


def kind_of(folder: Path) -> str | None:
    """What kind of network drive the folder (or the nearest one that exists above it) lies on; None for a local one."""
    existing = Path(os.path.realpath(folder))
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if sys.platform == "win32":
        return _on_windows(existing)
    try:
        if sys.platform == "darwin":
            done = subprocess.run(["/sbin/mount"], capture_output=True, timeout=5, check=True)
            kind = kind_in_mount_output(done.stdout.decode(errors="replace"), existing)
        else:
            kind = kind_in_mountinfo(MOUNTS.read_text(encoding="utf-8", errors="replace"), existing)
    except (OSError, subprocess.SubprocessError):
        return None
    return kind if kind in KINDS else None


def warning(folder: Path, kind: str) -> str:
    """What to tell whoever keeps SQLite there."""
    return (
        f"{folder} lies on a network drive ({kind}), where SQLite loses locks and rows; set CHARGEHAND_DATA_DIR to a"
        " local folder, or CHARGEHAND_DATABASE_URL to a database server"
    )


def kind_in_mountinfo(text: str, folder: Path) -> str | None:
    """By Linux' table of mounts: `36 35 98:0 /root /mounted/at options - type source options`."""
    mounts: list[tuple[str, str]] = []
    for line in text.splitlines():
        left, dash, right = line.partition(" - ")
        fields = left.split(" ")
        if dash and len(fields) > 4:
            mounts.append((_unescaped(fields[4]), right.split(" ")[0]))
    return _nearest(mounts, folder)


def kind_in_mount_output(text: str, folder: Path) -> str | None:
    """By what macOS' `mount` prints: `//user@host/share on /Volumes/share (smbfs, nodev)`."""
    found = re.findall(r"^.* on (.*) \(([^,)]+)", text, re.MULTILINE)
    return _nearest(found, folder)


def _nearest(mounts: list[tuple[str, str]], folder: Path) -> str | None:
    """Of the mounts above the folder the deepest; of two at one place the later, which covers the other."""
    above = [(place, kind) for place, kind in mounts if folder.is_relative_to(place)]
    return max(enumerate(above), key=lambda one: (len(one[1][0]), one[0]))[1][1] if above else None


def _unescaped(place: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), place)


def _on_windows(folder: Path) -> str | None:
    if sys.platform != "win32":
        return None
    if folder.drive.startswith("\\\\"):
        return "UNC"
    kind = ctypes.windll.kernel32.GetDriveTypeW(f"{folder.drive}\\")
    return "network" if kind == REMOTE_DRIVE else None
