"""The numbers that are read from the rows: the same on every database, and right at each moment."""

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from chargehand.app.readings import broker_reading, bus_reading, gauges_of
from chargehand.domain.task import Failed, Reason, Status, TaskError
from chargehand.runtimes.playbook import PlaybookContext
from chargehand.store.standing import read_standing
from chargehand.telemetry.metrics import Metrics
from chargehand.telemetry.runs import RunningAttempt
from chargehand.telemetry.traces import NoMark
from tests import given
from tests.given import TestClock


async def idle(ctx: PlaybookContext) -> None:
    del ctx


async def test_the_backlog_its_age_and_silent_workers_are_counted(database: str, tmp_path: Path) -> None:
    del database
    clock = TestClock()
    async with given.a_core(
        tmp_path, playbooks={"one": idle}, clock=clock, with_engine=False, lease_seconds=30
    ) as core:
        await given.a_running_task(core, "one")
        async with core.db.read() as tx:
            begun = await read_standing(tx)
        clock.advance(10)
        await given.a_task(core, "one")
        clock.advance(25)
        async with core.db.read() as tx:
            later = await read_standing(tx)
        await core.upkeep.sweep()
        async with core.db.read() as tx:
            swept = await read_standing(tx)

        assert (begun.due, begun.oldest_due_seconds, begun.expired_leases) == (0, 0.0, 0)
        assert later.by_status == {Status.RUNNING.value: 1, Status.PENDING.value: 1}
        assert (later.due, later.oldest_due_seconds, later.expired_leases) == (1, 25.0, 1)
        assert (swept.due, swept.expired_leases) == (2, 0)
        assert core.telemetry.metrics.attempts_lost.values == {(): 1}
        assert (later.open_approvals, later.oldest_approval_seconds) == (0, 0.0)


async def test_a_core_tells_its_disk_its_slots_and_its_sandbox(tmp_path: Path) -> None:
    async with given.a_core(tmp_path, playbooks={"one": idle}) as core:
        told = {one.name: one.values for one in gauges_of(core)}

    assert told["chargehand_slots"] == {(): 4}
    assert told["chargehand_slots_busy"] == {(): 0}
    assert told["chargehand_sandbox_info"] == {("none",): 1}
    assert told["chargehand_disk_free_bytes"][()] > 0
    assert told["chargehand_disk_reserve_bytes"] == {(): 0}


def test_a_failed_attempt_is_counted_by_its_reason() -> None:
    metrics = Metrics()
    error = TaskError(reason=Reason.BUDGET_EXHAUSTED, message="no tokens are left")
    running = RunningAttempt(metrics, NoMark())

    running.ended(Failed(error=error))

    assert metrics.attempts_failed.values == {("budget_exhausted",): 1}


def test_the_time_until_an_answer_begins_falls_into_buckets_of_its_route() -> None:
    metrics = Metrics()
    for seconds in (0.002, 0.002, 0.4, 99):
        metrics.http_seconds.add("/agents", seconds=seconds)

    told = {
        sample.labels.get("le", sample.name): sample.value
        for family in text_string_to_metric_families(metrics.exposed([]).decode())
        for sample in family.samples
        if sample.name.startswith("chargehand_http_request_seconds")
    }

    assert (told["0.001"], told["0.0025"], told["0.5"], told["30.0"], told["+Inf"]) == (0, 2, 3, 3, 4)
    assert told["chargehand_http_request_seconds_count"] == 4


def test_what_makes_a_service_slower_but_not_unready_is_told_as_degraded() -> None:
    class Lost:
        state, is_away = "away", True

    readings = [
        bus_reading(is_expected=True, is_connected=False, processes=1),
        bus_reading(is_expected=True, is_connected=True, processes=2),
        bus_reading(is_expected=False, is_connected=False, processes=1),
        broker_reading(Lost()),
    ]

    assert [one.ok for one in readings] == [True] * 4
    assert [one.is_degraded for one in readings] == [True, False, False, True]
