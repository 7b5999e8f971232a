"""A run from the command line: what needs no server takes part, what is missing is told with its reason."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.ground import POSTGRESQL_VARIABLE, Ground, Missing
from tests.house.tree import ROOT


def bench(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CHARGEHAND_")}
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=ROOT,
        env={**kept, **variables},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def ground(folder: Path, **variables: str) -> Ground:
    return Ground(folder, folder, variables)


def test_a_quick_run_of_those_that_need_no_server_writes_page_data_and_plot(tmp_path: Path) -> None:
    done = bench("--quick", "--only", "accepts", "--contestants", "sqlite,bare", "--out", str(tmp_path))

    assert done.returncode == 0, done.stderr
    data = json.loads((tmp_path / "performance.json").read_text(encoding="utf-8"))
    assert data["left_out"] == {}
    for clients in (1, 32, 128):
        rates = data["measures"][f"accepts-{clients}"]["contestants"]
        assert {name: rate["median"] > 0 for name, rate in rates.items()} == {"sqlite": True, "bare": True}
    assert "bare FastAPI" in (tmp_path / "performance.md").read_text(encoding="utf-8")
    assert (tmp_path / "performance.svg").read_text(encoding="utf-8").startswith("<svg")
    assert "written: " in done.stdout


def test_a_contestant_whose_server_is_missing_is_left_out_with_the_reason(tmp_path: Path) -> None:
    nobody = "postgresql://postgres@127.0.0.1:1/postgres"
    quick = ("--quick", "--only", "accepts", "--contestants", "fleet")

    done = bench(*quick, "--out", str(tmp_path), CHARGEHAND_TEST_POSTGRESQL_URL=nobody)

    assert done.returncode == 0, done.stderr
    left_out = json.loads((tmp_path / "performance.json").read_text(encoding="utf-8"))["left_out"]
    assert list(left_out) == ["fleet"]
    assert POSTGRESQL_VARIABLE in left_out["fleet"] or "redis-server" in left_out["fleet"]


def test_an_unknown_part_or_contestant_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    part = bench("--only", "speed", "--out", str(tmp_path))
    contestant = bench("--contestants", "sqlite,other", "--out", str(tmp_path))

    assert part.returncode == contestant.returncode == 2
    assert "no speed here, but: accepts, tasks" in part.stderr
    assert "no other here, but: sqlite, fleet" in contestant.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_postgresql_that_does_not_answer_is_told_with_its_place_and_the_variable(tmp_path: Path) -> None:
    nobody = ground(tmp_path, **{POSTGRESQL_VARIABLE: "postgresql://postgres@127.0.0.1:1/postgres"})

    with pytest.raises(Missing, match=f"no PostgreSQL answers at 127.0.0.1:1, where {POSTGRESQL_VARIABLE}"):
        nobody.postgresql_url()


def test_a_missing_redis_names_the_program(tmp_path: Path) -> None:
    with pytest.raises(Missing, match="redis-server is not on PATH"):
        ground(tmp_path, PATH=str(tmp_path)).redis_program()
