"""Workers of a fleet as processes: messages wake them, the rows decide, no death or stop loses or doubles a task."""

import asyncio
import signal
import subprocess
import sys
import time
from pathlib import Path
from socket import gethostname
from urllib.parse import urlsplit

import pytest

from chargehand.domain.task import Status, Task
from tests import given
from tests.databases import a_database
from tests.engine.fleet import LEASE_SECONDS, Fleet, a_fleet, completed, submitting
from tests.given import ME
from tests.invariants import violations

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="stops and kills processes by POSIX signals")
CLOSED_BROKER = "redis://127.0.0.1:9/0"


@pytest.fixture
def postgresql(monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty database; what the test reads past our code is read there too."""
    url = a_database("postgresql")
    monkeypatch.setenv("CHARGEHAND_DATABASE_URL", url)
    return url


def sound(fleet: Fleet) -> bool:
    return violations(fleet.folder / "data" / "chargehand.db") == []


async def until_entered(fleet: Fleet, count: int = 1) -> list[list[str]]:
    async def holds() -> bool:
        return len(fleet.entered()) >= count

    await given.eventually(holds, 60)
    return fleet.entered()


@pytest.fixture(params=["postgresql-redis", "postgresql-rabbitmq", "mysql-redis"])
def servers(request: pytest.FixtureRequest) -> tuple[str, str]:
    """An empty database and a broker."""
    database_kind, _, broker_kind = str(request.param).partition("-")
    return a_database(database_kind), request.getfixturevalue(f"{broker_kind}_url")


async def test_a_submitted_task_is_told_to_a_worker_which_carries_it_out(
    tmp_path: Path, servers: tuple[str, str]
) -> None:
    with a_fleet(tmp_path, *servers) as fleet:
        worker = await fleet.worker("one")
        async with submitting(fleet) as core:
            await worker.until_said("one@")
            tasks = [await given.a_task(core, "quick", {"folder": str(tmp_path)}) for _ in range(5)]

            ended = [await completed(core, task) for task in tasks]

            assert [task.result for task in ended] == [1] * 5
            assert core.telemetry.metrics.hints.values.get(("sent",), 0) >= 1

            async def are_taken() -> bool:
                return await asyncio.to_thread(fleet.waiting_messages) == 0

            await given.eventually(are_taken, 30)
        worker.tell(signal.SIGTERM)
        assert await worker.ended() == 0


async def test_the_tasks_of_a_killed_worker_go_on_elsewhere_after_its_lease(
    tmp_path: Path, postgresql: str, redis_url: str
) -> None:
    with a_fleet(tmp_path, postgresql, redis_url) as fleet:
        first = await fleet.worker("first")
        async with submitting(fleet) as core:
            task = await given.a_task(core, "gated", {"folder": str(tmp_path)})
            await until_entered(fleet)
            await fleet.worker("second")

            first.tell(signal.SIGKILL)
            killed_at = time.monotonic()
            await until_entered(fleet, 2)
            took = time.monotonic() - killed_at
            fleet.open_gate()
            ended = await completed(core, task)

            assert (ended.attempt, ended.result) == (2, 2)
            assert took < LEASE_SECONDS + 15
            assert given.Effects(tmp_path / "effects").count(f"before {task.id}") == 1
            assert sound(fleet)


async def test_a_worker_that_is_told_to_stop_gives_back_what_it_carries_and_spends_no_attempt(
    tmp_path: Path, postgresql: str, redis_url: str
) -> None:
    with a_fleet(tmp_path, postgresql, redis_url) as fleet:
        worker = await fleet.worker("first")
        async with submitting(fleet) as core:
            task = await given.a_task(core, "gated", {"folder": str(tmp_path)})
            await until_entered(fleet)

            worker.tell(signal.SIGTERM)
            assert await worker.ended() == 0

            now = await core.watch.get(ME, task.id)
            assert (now.status, now.losses, now.tries) == (Status.PENDING, 0, 0)
            fleet.open_gate()
            await fleet.worker("second")
            assert (await completed(core, task)).losses == 0
            assert "task.rescued" not in await given.kinds(core, task)
            assert sound(fleet)


async def test_a_second_signal_ends_the_grace(tmp_path: Path, postgresql: str, redis_url: str) -> None:
    with a_fleet(tmp_path, postgresql, redis_url, SHUTDOWN_GRACE_SECONDS="600") as fleet:
        worker = await fleet.worker("first")
        async with submitting(fleet) as core:
            task = await given.a_task(core, "gated", {"folder": str(tmp_path)})
            await until_entered(fleet)

            worker.tell(signal.SIGTERM)
            await worker.until_said("worker stopping")
            worker.tell(signal.SIGTERM)

            assert await worker.ended() == 0
            now = await core.watch.get(ME, task.id)
            assert (now.status, now.losses) == (Status.PENDING, 0)


async def test_a_stopped_process_that_comes_back_drops_what_others_have_taken_over(
    tmp_path: Path, postgresql: str, redis_url: str
) -> None:
    with a_fleet(tmp_path, postgresql, redis_url) as fleet:
        first = await fleet.worker("first")
        async with submitting(fleet) as core:
            task = await given.a_task(core, "gated", {"folder": str(tmp_path)})
            await until_entered(fleet)
            await fleet.worker("second")

            first.tell(signal.SIGSTOP)
            await until_entered(fleet, 2)
            first.tell(signal.SIGCONT)
            await first.until_said("lease lost; work dropped", 30)
            fleet.open_gate()
            ended = await completed(core, task)

            assert (ended.attempt, ended.result) == (2, 2)
            assert [
                mark.split()[2] for mark in given.Effects(tmp_path / "effects").marks() if "left" in mark
            ] == ["2"]
            assert sound(fleet)


async def test_without_a_broker_tasks_are_accepted_and_carried_out_all_the_same(
    tmp_path: Path, postgresql: str
) -> None:
    with a_fleet(tmp_path, postgresql, CLOSED_BROKER) as fleet:
        worker = await fleet.worker("one")
        async with submitting(fleet) as core:
            begun_at = time.monotonic()
            tasks = [await given.a_task(core, "quick", {"folder": str(tmp_path)}) for _ in range(20)]
            took = time.monotonic() - begun_at

            for task in tasks:
                assert (await completed(core, task)).attempt == 1
            assert took < 10, "a submit waited for the broker"
            assert core.telemetry.metrics.hints.values.get(("dropped",), 0) >= 1
        worker.tell(signal.SIGTERM)
        assert await worker.ended() == 0


@pytest.mark.parametrize(
    ("user", "virtual_host", "said"),
    [("guest:wrong", "", "refuses the name or password"), (None, "no_such_host", "rabbitmqctl add_vhost")],
)
async def test_a_broker_that_refuses_a_worker_ends_it_not(
    tmp_path: Path, postgresql: str, rabbitmq_url: str, user: str | None, virtual_host: str, said: str
) -> None:
    given_user, _, place = urlsplit(rabbitmq_url).netloc.rpartition("@")
    broker_url = f"amqp://{user or given_user}@{place}/{virtual_host}"
    with a_fleet(tmp_path, postgresql, broker_url) as fleet:
        worker = await fleet.worker("one")
        await worker.until_said("Trying again in")
        await worker.until_said(said)
        async with submitting(fleet) as core:
            task = await given.a_task(core, "quick", {"folder": str(tmp_path)})
            assert (await completed(core, task)).attempt == 1
        worker.tell(signal.SIGTERM)
        assert await worker.ended() == 0
        assert "wrong" not in worker.said()


async def test_messages_that_come_twice_or_for_nothing_start_nothing_twice(
    tmp_path: Path, postgresql: str, redis_url: str
) -> None:
    with a_fleet(tmp_path, postgresql, redis_url) as fleet:
        async with submitting(fleet) as core:
            tasks = [await given.a_task(core, "short", {"folder": str(tmp_path)}) for _ in range(24)]
            await asyncio.to_thread(fleet.messages, 40, task=tasks[0])
            await fleet.worker("one", "--slots", "2")
            await asyncio.to_thread(fleet.messages, 40, task=tasks[-1])

            for task in tasks:
                assert (await completed(core, task)).attempt == 1
            assert _most_at_once(given.Effects(tmp_path / "effects").marks()) == 2
            assert sound(fleet)


def _most_at_once(marks: list[str]) -> int:
    running = most = 0
    for mark in marks:
        running += 1 if mark == "begin" else -1
        most = max(most, running)
    return most


async def test_workers_that_join_and_leave_under_load_lose_nothing(
    tmp_path: Path, postgresql: str, redis_url: str
) -> None:
    with a_fleet(tmp_path, postgresql, redis_url) as fleet:
        async with submitting(fleet) as core:
            tasks: list[Task] = []
            for turn in range(3):
                worker = await fleet.worker(f"turn-{turn}")
                tasks += [await given.a_task(core, "short", {"folder": str(tmp_path)}) for _ in range(30)]
                worker.tell(signal.SIGTERM)
                assert await worker.ended() == 0
            await fleet.worker("last")

            for task in tasks:
                assert (await completed(core, task)).losses == 0
            assert sound(fleet)


async def test_a_worker_of_some_queues_claims_only_their_agents(
    tmp_path: Path, postgresql: str, redis_url: str
) -> None:
    queues = '{"quick": "builds"}'
    with a_fleet(tmp_path, postgresql, redis_url, AGENT_QUEUES=queues) as fleet:
        async with submitting(fleet, agent_queues={"quick": "builds"}) as core:
            other = await given.a_task(core, "short", {"folder": str(tmp_path)})
            mine = await given.a_task(core, "quick", {"folder": str(tmp_path)})

            await fleet.worker("builder", "--queues", "builds")
            await completed(core, mine)
            assert (await core.watch.get(ME, other.id)).attempt == 0

            second = await given.a_task(core, "short", {"folder": str(tmp_path)})
            await fleet.worker("rest", "--queues", "chargehand")
            await completed(core, other)
            await completed(core, second)

        unknown = await fleet.worker("unknown", "--queues", "bulids", ready=False)
        assert await unknown.ended(60) == 2
        assert (
            "there is no queue 'bulids'; CHARGEHAND_AGENT_QUEUES gives: chargehand, builds" in unknown.said()
        )


async def test_the_usual_celery_tools_see_the_worker(tmp_path: Path, postgresql: str, redis_url: str) -> None:
    with a_fleet(tmp_path, postgresql, redis_url) as fleet:
        worker = await fleet.worker("seen")
        await worker.until_said("ready.")

        def inspect(what: str) -> str:
            command = [sys.executable, "-m", "celery", "-A", "chargehand.engine.celery:ai_agents"]
            # Named, so that it does not wait for other workers to answer.
            asked = [*command, "inspect", what, "--timeout", "20", "--destination", f"seen@{gethostname()}"]
            ran = subprocess.run(asked, env=fleet.environment(), capture_output=True, text=True, timeout=90)
            return ran.stdout + ran.stderr

        assert "seen@" in (answer := await asyncio.to_thread(inspect, "ping")), answer
        assert "process_agent_task" in (answer := await asyncio.to_thread(inspect, "registered")), answer
