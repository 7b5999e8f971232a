"""Events as lines for logs."""

from typing import Any

import pytest

from chargehand.cli.lines import json_line, line_of, seconds_text, size_text
from tests.cli.events import Teller


def test_a_line_has_time_agent_and_what_happened() -> None:
    event = Teller().event(
        "root", "step.finished", kind="tool", name="Bash", summary="make", duration_seconds=3.21
    )

    assert line_of(event, "lead") == "2026-07-01T12:00:00Z  lead                   Bash make (3.2 s)"


def test_a_failed_call_shows_why_however_long_its_command_is() -> None:
    event = Teller().event(
        "root",
        "step.finished",
        kind="tool",
        name="Bash",
        summary="x" * 120,
        is_error=True,
        error="Bash was not run: a rule denies it.",
        duration_seconds=0.04,
    )

    assert str(line_of(event, "lead")).endswith("... (0.0 s): Bash was not run: a rule denies it.")


def test_a_failed_check_shows_the_last_line_of_its_output() -> None:
    event = Teller().event(
        "root",
        "deliverable.checked",
        deliverable="service",
        check="tests",
        passed=False,
        output="...\n1 failed\n\n",
    )

    assert str(line_of(event, "a")).endswith("check FAILED: service: tests (0.0 s): 1 failed")


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("step.started", {}),
        ("task.woken", {}),
        ("task.child_finished", {}),
        ("step.finished", {"kind": "check"}),
        ("step.finished", {"kind": "value"}),
    ],
)
def test_what_another_line_says_already_is_left_out(kind: str, data: dict[str, Any]) -> None:
    assert line_of(Teller().event("root", kind, **data), "a") is None


def test_an_event_of_a_newer_service_is_told_by_its_name() -> None:
    assert str(line_of(Teller().event("root", "task.promoted"), "a")).endswith("task.promoted")


def test_a_line_is_one_line_of_bounded_length_whatever_was_said() -> None:
    event = Teller().event("root", "task.progress", message="a\nb\x1b[31m" + "c" * 5000)

    line = str(line_of(event, "lead"))

    assert len(line) < 300
    assert line.isprintable()


def test_json_lines_hold_ascii_only() -> None:
    assert json_line({"name": "Zoë\n"}) == '{"name":"Zo\\u00eb\\n"}'


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (12.4, "12 s"), (59.7, "1:00"), (187, "3:07"), (3723, "1:02:03")],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (3 * 2**20, "3.0 MiB"), (2**41, "2048.0 GiB")],
)
def test_sizes_are_short(size: int, text: str) -> None:
    assert size_text(size) == text
