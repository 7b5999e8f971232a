"""A full disk refuses what is new and keeps what it has; a read-only one is told plainly.

On a file system of a few megabytes, in a mount namespace of its own.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORKER = Path(__file__).parent / "disk_worker.py"
SCRIPT = 'mount -t tmpfs -o size=6m tmpfs "$1" && exec "$2" "$3" "$1"'


def in_namespace(script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", *arguments]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )


def why_not_here(folder: Path) -> str | None:
    """Why no small file system can be mounted here; None when it can."""
    if not sys.platform.startswith("linux"):
        return "mount namespaces are Linux's"
    try:
        tried = in_namespace('mount -t tmpfs -o size=6m tmpfs "$1"', str(folder))
    except OSError as error:
        return str(error)
    return tried.stderr.strip() if tried.returncode else None


def test_a_full_and_a_read_only_disk_lose_nothing_and_are_told_plainly(tmp_path: Path) -> None:
    if reason := why_not_here(tmp_path):
        pytest.skip(f"no file system of our own: {reason}")

    ended = in_namespace(SCRIPT, str(tmp_path), sys.executable, str(WORKER))

    assert ended.returncode == 0, ended.stdout + ended.stderr
