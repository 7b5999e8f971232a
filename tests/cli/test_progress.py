"""What is known of a tree of tasks follows from its events, whatever their order and number."""

from datetime import timedelta

import pytest

from chargehand.wire.rest import DeltaBody
from tests.cli.events import START, Teller


def test_a_step_is_under_way_from_its_start_to_its_end() -> None:
    told = Teller()
    told.tell("root", "task.started", attempt=1)
    told.tell("root", "step.started", path="0/0", kind="tool", name="Bash", summary="pytest -q")

    under_way = [step.summary for step in told.progress.root.running.values()]
    told.tell("root", "step.finished", path="0/0", kind="tool", name="Bash")

    assert under_way == ["pytest -q"]
    assert told.progress.root.running == {}
    assert told.progress.root.steps_done == 1


def test_an_event_that_comes_twice_counts_once() -> None:
    told = Teller()
    event = told.tell("root", "step.finished", path="0/0")

    taken_again = told.progress.take(event, received_at=event.at)

    assert not taken_again
    assert told.progress.root.steps_done == 1


def test_an_event_of_a_task_outside_the_tree_is_passed_over() -> None:
    told = Teller()

    told.tell("stranger", "task.started")

    assert list(told.progress.tasks) == ["root"]


def test_children_stand_in_the_order_in_which_they_were_delegated() -> None:
    told = Teller()

    told.delegate("root", "b", "a")
    told.delegate("b", "c")

    assert [task.task_id for task in told.progress.walk()] == ["root", "b", "c", "a"]


def test_a_repair_round_begins_with_no_check_passed_or_failed() -> None:
    told = Teller()
    told.tell("root", "deliverable.checked", deliverable="service", check="tests", passed=False)
    told.tell("root", "deliverable.checked", deliverable="service", check="lint", passed=True)
    before = (told.progress.root.passed, told.progress.root.failed)

    told.tell("root", "task.repair_requested", round=1)

    assert before == (1, 1)
    assert (told.progress.root.passed, told.progress.root.failed, told.progress.root.round) == (0, 0, 1)


@pytest.mark.parametrize("kind", ["task.released", "task.rescued", "task.started", "task.deferred"])
def test_what_an_attempt_had_in_flight_is_forgotten_with_the_attempt(kind: str) -> None:
    told = Teller()
    told.tell("root", "step.started", path="0/0", kind="tool", name="Bash", summary="make")

    told.tell("root", kind)

    assert told.progress.root.running == {}


def test_a_task_that_is_tried_again_runs_on_from_where_it_began() -> None:
    told = Teller()
    told.tell("root", "task.started", attempt=1)
    told.tell("root", "task.failed", after_seconds=5, reason="agent_error", error={"message": "no"})
    told.tell("root", "task.reopened", after_seconds=6)
    told.tell("root", "task.started", after_seconds=7, attempt=2)

    root = told.progress.root
    assert (root.status, root.attempt, root.has_ended, root.message) == ("running", 2, False, "")
    assert told.progress.elapsed_seconds(root, START + timedelta(seconds=9)) == pytest.approx(9)


def test_elapsed_time_is_right_where_the_clocks_of_service_and_terminal_differ() -> None:
    told = Teller()
    an_hour_ahead = timedelta(hours=1)
    event = told.event("root", "task.started", attempt=1)
    told.progress.take(event, received_at=event.at + an_hour_ahead)

    elapsed = told.progress.elapsed_seconds(told.progress.root, START + an_hour_ahead + timedelta(seconds=3))

    assert elapsed == pytest.approx(3)


def test_an_event_that_this_version_does_not_know_changes_nothing_and_is_taken() -> None:
    told = Teller()

    told.tell("root", "task.promoted", to="foreman")

    assert told.progress.root.seen == 1
    assert told.progress.root.status == "pending"


def test_data_of_an_unexpected_shape_reads_as_absent() -> None:
    told = Teller()

    told.tell("root", "task.started", attempt="first")
    told.tell("root", "task.delegated", children={"not": "a list"})
    told.tell("root", "task.failed", error="a text")

    assert told.progress.root.status == "failed"
    assert told.progress.root.message == ""


def test_what_a_model_says_stands_at_its_step_until_the_step_ends() -> None:
    told = Teller()
    told.tell("root", "step.started", path="0/0", kind="model", name="model", summary="")

    for delta in (
        {"thinking": "Hm. "},
        {"restart": True},
        {"thinking": "Aha. "},
        {"text": "x" * 55 + "the end"},
    ):
        told.progress.hear(DeltaBody.model_validate({"task_id": "root", "path": "0/0", **delta}))
    for path, task_id in (("0/1", "root"), ("0/0", "stranger")):
        told.progress.hear(DeltaBody(task_id=task_id, path=path, text="passed over"))

    said = told.progress.root.running["0/0"].said
    assert said == "x" * 53 + "the end"
    told.tell("root", "step.finished", path="0/0")
    assert told.progress.root.running == {}
