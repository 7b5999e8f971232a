"""The report says what happened: the verdict first, each breach with what shows it, and the same as JSON and as SVG."""

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

from chaos import report
from chaos.checker import Check, Found
from chaos.clients import Seen
from chaos.faults import Done
from chaos.ledger import Compared
from chaos.nodes import Kill, OwnEnd
from chaos.plot import per_second
from chaos.results import Result
from chaos.takeovers import Takeover

SEEN = [
    Seen(
        key=f"key-{number}",
        agent_id="quick",
        depth=0,
        number=number,
        task_id=f"task-{number}",
        sequences=[1, 2],
        ends=["task.completed"],
        ended_at=1000.0 + number,
    )
    for number in range(20)
]


def a_result(*checks: Check) -> Result:
    compared = Compared(marks=5, steps=4, again_before_record=1, broken=[])
    return Result(
        title="Chaos <on> a test",
        seed=7,
        began_at=1000.0,
        calm_at=1030.0,
        rested_at=1032.5,
        clients=2,
        lives={"worker-1": 3},
        seconds_to_be_up={"worker": (0.5, 0.25)},
        kills=[Kill(at=1001.0, node="worker-1", pid=7), Kill(at=1002.0, node="worker-1", pid=8)],
        own_ends=[OwnEnd(at=1003.0, node="worker-1", pid=9, status=6, last_words="no database")],
        faults=[Done(at=1004.0, until=1006.0, kind="network: stall", target="worker-1 to redis")],
        seen=SEEN,
        answers={"202": 20},
        takeovers=[Takeover(at=1001.0, seconds=3.25, rescued_seconds=3.0, task_id="task-1")],
        found=Found(checks=checks, compared=compared, tasks=21, given_up=1),
        problems=[],
        skipped=["a full disk (no)"],
    )


def test_a_run_in_which_all_holds_says_so_with_its_figures() -> None:
    text = report.markdown(a_result(Check("tasks end", [])))

    assert text.startswith("# Chaos <on> a test: every promise holds\n")
    assert "| tasks end | holds |" in text
    assert "| kills of processes at work | 2 (0.07/s) |" in text
    assert "| takeover after kill -9, p50 / p99 | 3.25 s / 3.25 s |" in text
    assert "| not broken here | a full disk (no) |" in text
    assert "worker 0.50 s (0.25 s of a processor)" in text
    assert "- 1 times worker with 6: no database" in text


def test_a_breach_is_told_with_what_shows_it_and_no_more_than_can_be_read() -> None:
    result = a_result(Check("tasks end", [f"task-{number} does not" for number in range(14)]))

    text = report.markdown(result)

    assert not result.holds
    assert text.startswith("# Chaos <on> a test: BROKEN\n")
    assert "| tasks end | **broken 14 times** |" in text
    assert "- task-9 does not\n- and 4 more\n" in text


def test_a_run_that_was_not_whole_does_not_pass() -> None:
    result = replace(a_result(Check("tasks end", [])), problems=["worker-1 did not come up again"])

    assert not result.holds
    assert "worker-1 did not come up again" in report.markdown(result)


def test_the_files_are_a_table_json_and_a_drawing(tmp_path: Path) -> None:
    report.write(a_result(Check("tasks end", [])), tmp_path / "new" / "folder")

    files = {path.name: path.read_text(encoding="utf-8") for path in (tmp_path / "new" / "folder").iterdir()}
    data = json.loads(files["chaos.json"])
    drawing = ElementTree.fromstring(files["chaos.svg"])  # noqa: S314 - written by the test itself
    assert set(files) == set(report.FILES)
    assert data["holds"] is True
    assert data["tasks"]["accepted"] == 20
    assert data["takeover_seconds"] == {"50": 3.25, "99": 3.25}
    assert len(drawing.findall(".//{*}circle")) == 1
    assert "network: stall: worker-1 to redis" in files["chaos.svg"]


def test_times_are_counted_by_the_second() -> None:
    assert per_second([10.0, 10.9, 12.1], 10.0, 3.0) == [2, 0, 1, 0]
