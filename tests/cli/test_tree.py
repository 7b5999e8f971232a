"""The drawn tree: one line a task, never wider nor higher than the terminal, in characters that it has."""

import io
from datetime import timedelta

import pytest
from rich.console import Console

from chargehand.cli.tree import ASCII, UNICODE, draw, marks_for
from chargehand.wire.rest import DeltaBody
from tests.cli.events import START, Teller


def drawn(
    told: Teller, *, width: int = 80, height: int = 24, seconds: float = 10, encoding: str = "utf-8"
) -> list[str]:
    buffer = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=buffer, width=width, color_system=None, legacy_windows=False)
    marks = marks_for(encoding)
    console.print(draw(told.progress, now=START + timedelta(seconds=seconds), height=height, marks=marks))
    buffer.seek(0)
    return buffer.read().splitlines()


def a_tree() -> Teller:
    told = Teller()
    told.tell("root", "task.started", attempt=1)
    told.delegate("root", "a", "b")
    told.tell("root", "task.waiting", reason="children")
    told.tell("a", "task.started", attempt=1)
    told.tell("a", "step.started", path="0/0", kind="tool", name="Bash", summary="pytest -q", after_seconds=2)
    told.tell("b", "task.started", attempt=1)
    told.tell("b", "deliverable.checked", deliverable="x", check="y", passed=True)
    told.tell("b", "deliverable.checked", deliverable="x", check="z", passed=False)
    told.tell(
        "b", "task.failed", reason="checks_failed", error={"message": "1 check failed"}, after_seconds=4
    )
    return told


def test_each_task_has_a_line_with_what_it_does_for_how_long_and_its_checks() -> None:
    lines = drawn(a_tree())

    assert len(lines) == 3
    assert "lead" in lines[0]
    assert "waits for 1 of 2 colleagues" in lines[0]
    assert "agent-a  10 s  Bash pytest -q (8.0 s)" in lines[1]
    assert "✗ agent-b  4.0 s  1✓  1✗  checks_failed: 1 check failed" in lines[2]


@pytest.mark.parametrize("width", [1, 5, 20, 40])
def test_no_line_is_wider_than_a_narrow_terminal(width: int) -> None:
    lines = drawn(a_tree(), width=width)

    assert 1 <= len(lines) <= 3
    assert max(len(line) for line in lines) <= width


def test_a_console_without_unicode_gets_signs_that_it_has() -> None:
    text = "\n".join(drawn(a_tree(), encoding="cp437"))

    assert "?" not in text
    assert "x agent-b  4.0 s  1 ok  1 failed" in text


def test_finished_tasks_are_folded_where_the_terminal_is_too_low() -> None:
    told = Teller()
    told.tell("root", "task.started")
    children = [f"c{number}" for number in range(30)]
    told.delegate("root", *children)
    for child in children[:-3]:
        told.tell(child, "task.started")
        told.tell(child, "task.completed")
    for child in children[-3:]:
        told.tell(child, "task.started")

    lines = drawn(told, height=10)

    assert len(lines) <= 10
    assert all(any(f"agent-{child}" in line for line in lines) for child in children[-3:])
    assert any("more completed" in line for line in lines)


def test_what_an_agent_says_cannot_steer_the_terminal() -> None:
    told = Teller(agent_id="evil\x1b[2J")
    told.tell("root", "task.started")
    told.tell("root", "task.progress", message="one\ntwo\x1b]0;title\x07 [red]three[/red]")

    text = "\n".join(drawn(told))

    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[red]three[/red]" in text
    assert len(text.splitlines()) == 1


def test_every_status_has_a_sign_in_both_character_sets() -> None:
    for marks in (UNICODE, ASCII):
        assert {"pending", "waiting", "completed", "failed", "canceled"} <= set(marks.status)
    "".join(ASCII.status.values()).encode("ascii")


def test_a_models_last_words_stand_in_the_line_while_it_speaks() -> None:
    told = Teller()
    told.tell("root", "task.started", attempt=1)
    told.tell("root", "step.started", path="0/0", kind="model", name="model", summary="")
    told.progress.hear(DeltaBody(task_id="root", path="0/0", text="First,\nI read \x1b[2Jthe file."))

    assert "model (10 s): …First, I read  [2Jthe file." in drawn(told)[0]
