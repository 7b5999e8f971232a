"""What a second worker brings on tasks that wait, as agents wait for models."""

import asyncio
import time

from bench.contestant import Contestant
from bench.figures import Results
from bench.ground import Ground
from bench.load import Connection
from bench.ours import Fleet
from bench.plan import Plan
from bench.theirs import ByHand

SLOTS = 8
"""So few that waiting is the limit and not the two cores."""
WAIT_SECONDS = 0.05
CLIENTS = 10


async def one_and_two(ground: Ground, plan: Plan, results: Results) -> None:
    """One worker, then two, in turns."""
    for _ in range(plan.rounds):
        for workers in (1, 2):
            await _measure(Fleet(ground, slots=SLOTS, workers=workers), SLOTS, workers, plan, results)


async def one_and_two_by_hand(ground: Ground, plan: Plan, results: Results) -> None:
    """Celery's prefork worker with one process each."""
    for workers in (1, 2):
        await _measure(ByHand(ground, workers=workers, processes=1), 1, workers, plan, results)


async def _measure(contestant: Contestant, slots: int, workers: int, plan: Plan, results: Results) -> None:
    """As many tasks as one worker could do in the time."""
    try:
        await contestant.start()
        await contestant.ready()
        count = int(plan.workers_seconds / WAIT_SECONDS) * slots
        begun = time.perf_counter()
        await asyncio.gather(*(_submit(contestant, count // CLIENTS) for _ in range(CLIENTS)))
        await contestant.drain("wait50")
        done = count // CLIENTS * CLIENTS
        results.add(f"workers-{workers}", contestant.name, done / (time.perf_counter() - begun))
    finally:
        await contestant.stop()


async def _submit(contestant: Contestant, count: int) -> None:
    connection = await Connection.open(contestant.port)
    try:
        raw = contestant.submit("wait50")
        for _ in range(count):
            await connection.ask(raw)
    finally:
        connection.close()
