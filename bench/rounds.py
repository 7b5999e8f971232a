"""What is measured round by round, the contestants taking turns: accepts, tasks, latency, start-up and memory."""

import time

from bench.contestant import Contestant
from bench.figures import Results
from bench.goals import CLIENTS
from bench.load import Connection, percentile, press
from bench.plan import Plan

WARM_SECONDS = 0.3
TASK_CLIENTS = 32


async def one_round(contestant: Contestant, plan: Plan, results: Results) -> None:
    """Start it on an empty store, take every figure, stop it. Missing where it cannot be started."""
    name = contestant.name
    try:
        results.add("start", name, await contestant.start())
        await contestant.ready()
        resident, shared_once = contestant.memory_mb()
        results.add("memory", name, resident)
        results.add("memory-shared-once", name, shared_once)
        await press(contestant.port, [contestant.submit()], clients=8, seconds=WARM_SECONDS)
        await contestant.drain()
        if "accepts" in plan.parts:
            await accepts(contestant, plan, results)
        if "tasks" in plan.parts:
            await tasks(contestant, plan, results)
        if "latency" in plan.parts:
            await latency(contestant, plan, results)
    finally:
        await contestant.stop()


async def accepts(contestant: Contestant, plan: Plan, results: Results) -> None:
    """Submits alone are timed; what they leave to be done is waited for before the next."""
    for clients in CLIENTS:
        load = await press(
            contestant.port, [contestant.submit()], clients=clients, seconds=plan.accept_seconds
        )
        _note_failures(results, contestant.name, "accepts", load.failures)
        results.add(f"accepts-{clients}", contestant.name, load.per_second)
        if clients == TASK_CLIENTS:
            results.add("client-share", contestant.name, load.client_share)
        await contestant.drain()


async def tasks(contestant: Contestant, plan: Plan, results: Results) -> None:
    """From the first submit until nothing is open."""
    if not contestant.stores:
        return
    begun = time.perf_counter()
    load = await press(
        contestant.port, [contestant.submit()], clients=TASK_CLIENTS, seconds=plan.task_seconds
    )
    await contestant.drain()
    _note_failures(results, contestant.name, "tasks", load.failures)
    results.add("tasks", contestant.name, len(load.latencies_ms) / (time.perf_counter() - begun))


async def latency(contestant: Contestant, plan: Plan, results: Results) -> None:
    """One client, one task after the other."""
    if not contestant.stores:
        return
    connection = await Connection.open(contestant.port)
    taken: list[float] = []
    until = time.perf_counter() + plan.latency_seconds
    try:
        while len(taken) < plan.latency_count and time.perf_counter() < until:
            begun = time.perf_counter()
            await contestant.complete_one(connection)
            taken.append((time.perf_counter() - begun) * 1000)
    finally:
        connection.close()
    results.add("completed-p50", contestant.name, percentile(taken, 50))
    results.add("completed-p99", contestant.name, percentile(taken, 99))


def _note_failures(results: Results, name: str, part: str, failures: int) -> None:
    if failures:
        results.left_out[f"{name}, {part}"] = f"{failures} requests failed and are not counted"
