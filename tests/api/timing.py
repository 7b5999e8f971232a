"""How long refusals take: `python -m tests.api.timing 20000` compares two of each kind, interleaved (Welch's t).

No test: a busy machine would make it fail for nothing. |t| is to be below 4.5, the medians within one percent.
"""

import asyncio
import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from chargehand.domain.task import TaskOrder
from chargehand.errors import ChargehandError
from chargehand.service.key_format import with_checksum
from tests.api.service import ECHO, OWNER, STRANGER, Service, open_service

Attempt = Callable[[], Awaitable[object]]
KEPT = 0.9
"""The share of the quickest: the rest says what else the machine did."""


def _digits(count: int) -> str:
    return "".join(random.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=count))  # noqa: S311 - no secret


async def pairs(service: Service) -> dict[str, tuple[Attempt, Attempt]]:
    """What is compared: two refusals that nobody should tell apart."""
    access, watch, key = service.services.access, service.services.watch, service.key
    await service.services.agents.publish(STRANGER, ECHO)
    accepted = await service.services.tasks.submit(STRANGER, TaskOrder(agent_id="echo", task_data={}))
    foreign = accepted.task.id
    absent = f"{foreign[:-12]}abcdefabcdef"
    return {
        "unknown id, wrong secret": (
            lambda: access.verify(with_checksum("chg_live_" + _digits(8) + key[17:49])),
            lambda: access.verify(with_checksum(key[:17] + _digits(32))),
        ),
        "foreign id, absent id": (lambda: watch.get(OWNER, foreign), lambda: watch.get(OWNER, absent)),
    }


async def nanoseconds(attempt: Attempt) -> int:
    """How long a refusal takes."""
    refused = attempt()
    begun = time.perf_counter_ns()
    try:
        await refused
    except ChargehandError:
        return time.perf_counter_ns() - begun
    raise AssertionError("it was not refused")


async def compared(one: Attempt, other: Attempt, samples: int) -> tuple[float, float, float]:
    """The medians in microseconds, and Welch's t of the quickest."""
    times: tuple[list[int], list[int]] = ([], [])
    for _ in range(samples):
        for which in random.sample((0, 1), 2):
            times[which].append(await nanoseconds((one, other)[which]))
    quick = [sorted(found)[: int(samples * KEPT)] for found in times]
    spread = sum(statistics.variance(found) / len(found) for found in quick)
    welch = (statistics.fmean(quick[0]) - statistics.fmean(quick[1])) / math.sqrt(spread)
    return statistics.median(times[0]) / 1_000, statistics.median(times[1]) / 1_000, welch


async def main(samples: int) -> None:
    """Print a line for each pair."""
    with tempfile.TemporaryDirectory() as folder:
        async with open_service(Path(folder) / "data") as service:
            for name, (one, other) in (await pairs(service)).items():
                first, second, welch = await compared(one, other, samples)
                apart = (first / second - 1) * 100
                sys.stdout.write(
                    f"{name}: {first:.1f} and {second:.1f} us ({apart:+.2f} %), t {welch:+.2f}, n {samples}\n"
                )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
