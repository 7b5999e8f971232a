"""What authentication and limits cost: `python -m bench.guards`, about a minute.

The service with keys, request rates and quotas in force, beside the same service with nobody at the door
(bench/unguarded.py), both on SQLite and both idle but for the one that is measured. They take turns within each round,
in changing order, so that what else goes on meets both alike.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench.figures import Goal, Results, judge
from bench.ground import ROOT, Ground, Program
from bench.load import press, request
from bench.ours import OnSqlite
from bench.report import goal_table

CLIENTS = 32
WARM_SECONDS = 0.5
LIMITS = {
    "CHARGEHAND_KEY_REQUESTS_PER_SECOND": "90000",
    "CHARGEHAND_TENANT_REQUESTS_PER_SECOND": "90000",
    "CHARGEHAND_ADDRESS_REQUESTS_PER_SECOND": "90000",
    "CHARGEHAND_TENANT_SUBMITS_PER_SECOND": "90000",
    "CHARGEHAND_TENANT_BACKLOG_LIMIT": "900000",
    "CHARGEHAND_TENANT_STORAGE_BYTES": "1000000000000",
    "CHARGEHAND_TENANT_TOKENS_PER_DAY": "1000000000",
}
"""All that can be counted is counted, and nothing is refused."""
GOALS = (
    Goal(
        title="Durable accepts with authentication and limits, 32 clients, to those without",
        of=("accepts", "guarded"),
        to=("accepts", "unguarded"),
        at="least",
        bound=1 / 1.1,
    ),
    Goal(title="GET /health, one client, p50", of=("health", "guarded"), at="most", bound=1.0, unit="ms"),
)


class Guarded(OnSqlite):
    """As it is, with every limit in force."""

    name = "guarded"

    def variables(self) -> dict[str, str]:
        return {**super().variables(), **LIMITS}


class Unguarded(OnSqlite):
    """Without authentication and without limits."""

    name = "unguarded"

    async def launch(self) -> Program:
        return self.run(
            "serve", [sys.executable, "-m", "bench.unguarded", "serve"], self.variables(), self.folder
        )


async def one_round(both: Sequence[OnSqlite], seconds: float, results: Results) -> None:
    """Each in turn, both times."""
    for one in (*both, *reversed(both)):
        load = await press(one.port, [one.submit()], clients=CLIENTS, seconds=seconds)
        results.add("accepts", one.name, load.per_second)
        results.add("client-share", one.name, load.client_share)
        if load.failures:
            results.left_out[one.name] = f"{load.failures} requests failed"
        await one.drain()
        health = await press(
            one.port, [request("GET", "/health")], clients=1, seconds=seconds / 4, expected=200
        )
        results.add("health", one.name, health.percentile(50))


async def run(asked: argparse.Namespace) -> Results:
    results = Results()
    with tempfile.TemporaryDirectory(prefix="chargehand-guards-", ignore_cleanup_errors=True) as folder:
        ground = Ground(Path(folder), ROOT / ".bench", os.environ)
        both = [Guarded(ground), Unguarded(ground)]
        try:
            for one in both:
                await one.start()
                await one.ready()
                await press(one.port, [one.submit()], clients=8, seconds=WARM_SECONDS)
                await one.drain()
            for number in range(asked.rounds):
                await one_round(both if number % 2 else both[::-1], asked.seconds, results)
        finally:
            for one in both:
                await one.stop()
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="bench.guards", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each measurement")
    results = asyncio.run(run(parser.parse_args(arguments)))
    lines = [goal_table([judge(goal, results) for goal in GOALS]), ""]
    for (measure, name), samples in results.samples.items():
        lines.append(f"{measure:13} {name:10} {' '.join(f'{one:.2f}' for one in samples)}")
    lines += [f"left out: {name}: {why}" for name, why in results.left_out.items()]
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
