"""What Windows is told while the service starts, runs and stops."""

import asyncio
import io
import logging
from collections.abc import Callable

import pytest

from chargehand.errors import InvalidInput, Unavailable
from chargehand.windows.host import EventLogHandler, Host, Serve
from chargehand.windows.lifecycle import Control, Lifecycle, Progress, Report, State


def told_states(reports: list[Report]) -> list[State]:
    return [report.state for report in reports]


def test_a_life_is_told_in_order_and_each_checkpoint_is_higher() -> None:
    reports: list[Report] = []
    life = Lifecycle(reports.append)

    life.starting()
    life.goes_on()
    life.goes_on()
    life.running()
    life.goes_on()
    assert life.asked(Control.STOP)
    life.goes_on()
    life.stopped()

    pending = [one for one in reports if one.state in (State.START_PENDING, State.STOP_PENDING)]
    assert told_states(reports) == [State.START_PENDING] * 3 + [State.RUNNING] + [State.STOP_PENDING] * 2 + [
        State.STOPPED
    ]
    assert [one.checkpoint for one in pending] == [1, 2, 3, 1, 2]
    assert all(one.wait_hint_milliseconds > 0 for one in pending)
    assert [one.accepted for one in reports if one.state is State.RUNNING] == [0x101]
    assert all(not one.accepted and not one.exit_code for one in pending)


@pytest.mark.parametrize("control", [Control.STOP, Control.SHUTDOWN, Control.PRESHUTDOWN])
def test_each_way_to_ask_for_the_end_is_heard_once(control: Control) -> None:
    life = Lifecycle(lambda report: None)
    life.starting()
    life.running()

    assert [life.asked(control), life.asked(control), life.asked(Control.STOP)] == [True, False, False]


def test_what_is_not_understood_changes_nothing_and_a_question_is_answered() -> None:
    reports: list[Report] = []
    life = Lifecycle(reports.append)
    life.starting()
    life.running()

    assert not life.asked(200)
    assert not life.asked(Control.INTERROGATE)

    assert reports[-1] == reports[-2]
    assert len(reports) == 3


def test_a_state_that_was_left_is_never_told_again() -> None:
    reports: list[Report] = []
    life = Lifecycle(reports.append)
    life.starting()
    life.running()
    life.asked(Control.STOP)
    life.running()
    life.stopped(6)
    life.stopped()
    life.goes_on()

    assert told_states(reports) == [State.START_PENDING, State.RUNNING, State.STOP_PENDING, State.STOPPED]
    assert reports[-1].exit_code == 6


def test_a_start_hangs_only_when_its_checkpoint_stands_still_for_longer_than_it_said() -> None:
    progress = Progress()
    looks = [(0, 1), (9, 1), (14, 2), (28, 2), (30, 2)]

    assert [progress.hangs(now, checkpoint, 15_000) for now, checkpoint in looks] == [False] * 4 + [True]
    assert not Progress().hangs(9, 1, 0)


class Machine:
    """Windows, as far as the host sees it."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.on_running: Callable[[], None] = lambda: None

    def tell(self, report: Report) -> None:
        self.reports.append(report)
        if report.state is State.RUNNING:
            self.on_running()


def hosted(machine: Machine, serve: Serve, tick_seconds: float = 4.0) -> Host:
    return Host(Lifecycle(machine.tell), serve, exit_code_of, tick_seconds)


def exit_code_of(error: Exception) -> int:
    return 2 if isinstance(error, InvalidInput) else 6


def test_the_service_stops_gracefully_when_windows_asks() -> None:
    machine, said = Machine(), list[str]()

    async def serve(stopping: asyncio.Event, answers: Callable[[str], None]) -> None:
        answers("http://127.0.0.1:1")
        await stopping.wait()
        said.append("given back")

    host = hosted(machine, serve)
    machine.on_running = lambda: host.control(Control.PRESHUTDOWN)

    assert host.run() == 0
    assert said == ["given back"]
    assert told_states(machine.reports)[-2:] == [State.STOP_PENDING, State.STOPPED]
    assert machine.reports[-1].exit_code == 0


def test_a_long_start_and_a_long_stop_are_told_as_going_on() -> None:
    machine = Machine()

    async def until(state: State, count: int) -> None:
        while told_states(machine.reports).count(state) < count:  # noqa: ASYNC110 - the host's ticks are awaited
            await asyncio.sleep(0)

    async def serve(stopping: asyncio.Event, answers: Callable[[str], None]) -> None:
        await until(State.START_PENDING, 4)
        answers("http://127.0.0.1:1")
        await stopping.wait()
        await until(State.STOP_PENDING, 4)

    host = hosted(machine, serve, tick_seconds=0.001)
    machine.on_running = lambda: host.control(Control.STOP)

    assert host.run() == 0
    assert machine.reports[-2].checkpoint >= 4


@pytest.mark.parametrize(
    ("error", "code"),
    [(InvalidInput("no"), 2), (Unavailable("away"), 6), (RuntimeError("bug"), 6), (None, 1)],
)
def test_what_ends_by_itself_has_failed_so_that_windows_starts_it_again(
    error: Exception | None, code: int
) -> None:
    machine = Machine()

    async def serve(stopping: asyncio.Event, answers: Callable[[str], None]) -> None:
        del stopping, answers
        if error is not None:
            raise error

    assert hosted(machine, serve).run() == code
    assert machine.reports[-1] == Report(state=State.STOPPED, exit_code=code)


def test_the_event_log_gets_errors_and_nothing_less() -> None:
    entries: list[str] = []
    logger = logging.getLogger("chargehand.test_events")
    handler = EventLogHandler(entries.append)
    logger.addHandler(handler)

    logger.warning("not this")
    logger.error("this %s", "x" * 40_000)

    logger.removeHandler(handler)
    assert [len(one) for one in entries] == [30_000]


def test_an_event_log_that_cannot_be_written_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(text: str) -> None:
        raise OSError(text)

    logger = logging.getLogger("chargehand.test_events")
    handler = EventLogHandler(full)
    logger.addHandler(handler)
    monkeypatch.setattr("sys.stderr", io.StringIO())

    logger.error("still here")

    logger.removeHandler(handler)
