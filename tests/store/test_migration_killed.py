"""A start that is killed in the middle of making the schema leaves a database that the next start can use."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from chargehand.store import migrate

PROGRAM = (
    "import sys, pathlib; from chargehand.store import migrate; migrate.upgrade(pathlib.Path(sys.argv[1]))"
)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
def test_a_killed_first_migration_leaves_nothing_behind(tmp_path: Path) -> None:
    database = tmp_path / "chargehand.db"
    environment = {**os.environ, "CHARGEHAND_FAIL_POINT": "migrate.before_commit"}

    killed = subprocess.run([sys.executable, "-c", PROGRAM, str(database)], env=environment, check=False)

    assert killed.returncode == -signal.SIGKILL
    assert migrate.current_revision(database) is None
    assert migrate.upgrade(database) is None
    assert migrate.current_revision(database) == migrate.HEAD
