"""`python3 dev.py example`: from a brief in plain words to a delivered service, with an approval on the way."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WHOLE_SECONDS = 300


@pytest.mark.skipif(sys.platform == "win32", reason="untried on Windows; its checks are shell commands")
def test_the_run_from_a_brief_asks_delegates_and_delivers_what_holds(tmp_path: Path) -> None:
    out = tmp_path / "links"
    command = [sys.executable, str(ROOT / "examples" / "brief" / "run.py"), "--out", str(out)]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=WHOLE_SECONDS, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout
    steps = [
        "ruff check --no-cache .  (failed)",
        "handed to test-automator",
        "passed: test-report, it states the measured coverage",
        "$ chargehand approvals approve",
        "deploy/README.md",
        "passed: service, the tests pass and cover at least 90 % of the code",
    ]
    places = [told.find(step) for step in steps]
    assert -1 not in places, (steps, told)
    assert places[:4] == sorted(places[:4])
    # What was delivered holds here too, not only where it was checked.
    again = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=out,
        capture_output=True,
        text=True,
        timeout=WHOLE_SECONDS,
        check=False,
    )
    assert again.returncode == 0, again.stdout
    assert re.search(r"TOTAL.*100%", (out / "docs" / "testing.md").read_text("utf-8"))
    assert re.search(r"GET /\{code\}` \| \d+\.\d\d \|", (out / "benchmarks" / "report.md").read_text("utf-8"))
    assert not (tmp_path / "chargehand-data").exists()
