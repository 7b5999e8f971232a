"""What a failure costs: a worker that is killed, and a broker that is away for a while."""

import asyncio
import json
import time
from collections.abc import Sequence

from bench.contestant import Contestant
from bench.figures import Results
from bench.ground import Missing
from bench.load import Connection, Load, fetch, pace, percentile
from bench.ours import LEASE_SECONDS, Chargehand, Fleet
from bench.plan import Plan
from bench.theirs import ByHand

HELD, WORK_SECONDS, RUNS_SECONDS = 8, 1.0, 30.0
PER_SECOND, PATIENCE_SECONDS = 50, 10.0


async def takeover(contestant: Contestant, plan: Plan, results: Results) -> None:
    """Kill what carries tasks out, and see when they run elsewhere."""
    try:
        await contestant.start()
        await contestant.ready()
        connection = await Connection.open(contestant.port)
        held = [await _submitted(contestant, connection) for _ in range(HELD)]
        await until_running(contestant, connection, held[0])
        connection.close()
        killed = time.perf_counter()
        await contestant.lose_worker()
        limit = killed + plan.takeover_limit_seconds
        ends = await asyncio.gather(*(_ended(contestant, task_id, limit) for task_id in held))
        lease = LEASE_SECONDS if isinstance(contestant, Chargehand) else 0.0
        # What another worker held goes on there and is no takeover.
        taken = [end - killed - WORK_SECONDS for end in ends if end is not None]
        results.add("taken-over", contestant.name, 100 * len(taken) / HELD)
        if taken:
            results.add("takeover", contestant.name, max(0.0, percentile(taken, 99) - lease))
    finally:
        await contestant.stop()


async def _submitted(contestant: Contestant, connection: Connection) -> str:
    """The id of a task that holds its worker for a while."""
    _, body = await connection.ask(contestant.submit("hold", {"seconds": WORK_SECONDS}))
    return str(json.loads(body)["id"])


async def until_running(contestant: Contestant, connection: Connection, task_id: str) -> None:
    async with asyncio.timeout(RUNS_SECONDS):
        while json.loads((await connection.ask(contestant.read(task_id)))[1])["status"] != "running":  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.01)


async def _ended(contestant: Contestant, task_id: str, limit: float) -> float | None:
    """When a task was seen completed; None when it was not by then."""
    while time.perf_counter() < limit:
        try:
            _, body = await fetch(contestant.port, contestant.read(task_id))
            if json.loads(body)["status"] == "completed":
                return time.perf_counter()
        except OSError:  # it is being started again
            pass
        await asyncio.sleep(0.05)
    return None


async def broker_away(contestants: Sequence[Fleet | ByHand], plan: Plan, results: Results) -> None:
    """All at once, each with a broker of its own: a little load that goes on while the broker is killed."""
    started: list[Fleet | ByHand] = []
    try:
        for contestant in contestants:
            try:
                await contestant.start()
                await contestant.ready()
                started.append(contestant)
            except Missing as missing:
                results.left_out[f"{contestant.name}, broker"] = str(missing)
                await contestant.stop()
        await asyncio.gather(*(_without_broker(contestant, plan, results) for contestant in started))
    finally:
        for contestant in started:
            await contestant.stop()


async def _without_broker(contestant: Fleet | ByHand, plan: Plan, results: Results) -> None:
    name, broker = contestant.name, contestant.redis
    if broker is None:
        return
    up = await _submits(contestant, plan.broker_up_seconds)
    broker.kill()
    down = await _submits(contestant, plan.broker_down_seconds)
    await broker.start()
    results.add("broker-up-p99", name, up.percentile(99))
    sent = len(down.latencies_ms) + down.failures
    results.add("broker-down-accepted", name, 100 * len(down.latencies_ms) / sent)
    if down.latencies_ms:
        results.add("broker-down-p99", name, down.percentile(99))
    begun = time.perf_counter()
    try:
        await contestant.drain(limit_seconds=plan.backlog_limit_seconds)
        results.add("broker-backlog", name, time.perf_counter() - begun)
    except (TimeoutError, OSError):
        results.left_out[f"{name}, backlog"] = (
            f"tasks still open {plan.backlog_limit_seconds:g} s after the broker was back"
        )


async def _submits(contestant: Contestant, seconds: float) -> Load:
    return await pace(
        contestant.port,
        contestant.submit(),
        per_second=PER_SECOND,
        seconds=seconds,
        patience_seconds=PATIENCE_SECONDS,
    )
