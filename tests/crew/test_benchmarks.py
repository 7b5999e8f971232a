"""The part `benchmarks`: the targets are measured against the running service, and a miss is told."""

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from chargehand.crew.specification import parse_specification
from tests.crew.projects import RUNNING, TINY, bookstore, run, write

PARTS = (*RUNNING, "benchmarks")


def results_of(project: Path) -> dict[str, dict[str, Any]]:
    data = json.loads((project / "benchmarks/results.json").read_text(encoding="utf-8"))
    return {each["operation"]: each for each in data["results"]}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = write(bookstore(), tmp_path_factory.mktemp("measured"), *PARTS)
    done = run(project, "benchmarks/run.py", "--seconds", "0.4")
    assert done.returncode == 0, done.stderr
    return project


def test_health_and_each_target_of_the_specification_are_measured_without_faults(measured: Path) -> None:
    results = results_of(measured)

    assert list(results) == ["health.get", "book.list", "book.get", "loan.create"]
    for each in results.values():
        assert each["faults"] == {}
        assert each["at_most_faults"] == {}
        assert 0 < each["latency_ms"]["p50"] <= each["latency_ms"]["p95"] <= each["latency_ms"]["p99"]
        assert each["requests"] >= 8
        assert each["at_most_per_second"] > 1


def test_the_report_has_a_row_for_each_operation_and_names_no_machine(measured: Path) -> None:
    report = (measured / "benchmarks/report.md").read_text(encoding="utf-8")

    for name in results_of(measured):
        assert f"| `{name}` |" in report
    assert re.search(r"\d of 3 targets hold", report)
    assert "5000 book" in report
    assert str(measured) not in report
    assert "quick run" in report


def test_the_plot_is_a_whole_picture_without_scripts(measured: Path) -> None:
    text = (measured / "benchmarks/latency.svg").read_text(encoding="utf-8")

    root = ElementTree.fromstring(text)  # noqa: S314 - our own picture
    assert root.tag.endswith("svg")
    assert "book.list: p95 target" in text
    assert "<script" not in text


def test_nothing_is_left_beside_the_results(measured: Path) -> None:
    left = {each.name for each in (measured / "benchmarks").iterdir() if each.suffix not in {".py", ""}}

    assert left == {"results.json", "report.md", "latency.svg"}


def test_a_missed_target_is_told_and_fails_only_when_enforced(tmp_path: Path) -> None:
    needs = "note.list: {p95_ms: 0.1}, note.delete: {requests_per_second: 20}"
    impossible = f"{TINY}performance: {{volume: {{note: 3}}, operations: {{{needs}}}}}\n"
    project = write(parse_specification(impossible), tmp_path, *PARTS)

    told = run(project, "benchmarks/run.py", "--seconds", "0.2")
    enforced = run(project, "benchmarks/run.py", "--seconds", "0.2", "--enforce")

    assert told.returncode == 0, told.stderr
    assert enforced.returncode == 1
    assert "note.list: p50" in told.stdout
    assert "missed: p95" in told.stdout
    assert results_of(project)["note.list"]["holds"] is False
    assert results_of(project)["note.delete"]["ran_out_of_rows"] is True
