"""The comparison: this service beside its peers, on this machine, in one run.

    python3 dev.py bench                        everything, about a quarter of an hour; writes docs/performance.*
    python3 dev.py bench --quick                to see that it works; writes bench/results/performance.*
    python3 dev.py bench --only accepts,tasks   some parts
    python3 dev.py bench --contestants sqlite,bare --out /tmp/mine

It uses databases of its own on the PostgreSQL that CHARGEHAND_TEST_POSTGRESQL_URL names (else the one at the usual
place of the loopback), Redis servers that it starts itself, and an environment for the peers in .bench/. What is not
there is left out, with the reason. A relative FOLDER is below the repository's.
"""

import argparse
import asyncio
import dataclasses
import json
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench import failures, rounds, stores, workers
from bench.contestant import Contestant
from bench.contestants import ALL
from bench.figures import Results, Standing, as_data, judge
from bench.goals import GOALS, MEASURES
from bench.ground import ROOT, Ground, Missing
from bench.ours import Fleet, OnSqlite
from bench.plan import PARTS, QUICK, Plan
from bench.plot import drawing
from bench.report import goal_table, page
from bench.theirs import ByHand
from chargehand.errors import ChargehandError
from scripts.installing import say

READERS = ("sqlite", "fleet", "hand", "bare")
LOSERS = ("sqlite", "fleet", "hand", "dbos")
Measuring = Callable[[Contestant, Plan, Results], Coroutine[None, None, None]]
ROUND_PARTS = frozenset({"accepts", "tasks", "latency"})


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _parser().parse_args(arguments)
    plan = dataclasses.replace(QUICK if asked.quick else Plan(), parts=frozenset(asked.only))
    out: Path = asked.out or ROOT / ("bench/results" if asked.quick else "docs")
    results = Results()
    begun = time.perf_counter()
    # Told to end, it leaves no server behind, as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="chargehand-bench-", ignore_cleanup_errors=True) as folder:
        ground = Ground(Path(folder), ROOT / ".bench", os.environ)
        _run(Run(ground, plan, asked.contestants, results).all())
    write(results, asked.contestants, out, _about(asked.quick, time.perf_counter() - begun))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dev.py bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="short measurements and smaller stores")
    parser.add_argument("--only", type=_words(PARTS), default=PARTS, metavar="PARTS", help=", ".join(PARTS))
    parser.add_argument(
        "--contestants", type=_words(ALL), default=tuple(ALL), metavar="NAMES", help=", ".join(ALL)
    )
    parser.add_argument(
        "--out", type=lambda text: Path(text).absolute(), metavar="FOLDER", help="where to write"
    )
    return parser


def _words(known: Collection[str]) -> Callable[[str], tuple[str, ...]]:
    def words(text: str) -> tuple[str, ...]:
        found = tuple(text.split(","))
        if strange := [word for word in found if word not in known]:
            raise argparse.ArgumentTypeError(f"no {', '.join(strange)} here, but: {', '.join(known)}")
        return found

    return words


def _run(work: Awaitable[None]) -> None:
    async def whole() -> None:
        await work

    if sys.platform == "win32":
        asyncio.run(whole())
        return
    import uvloop  # noqa: PLC0415 - is not there on Windows

    uvloop.run(whole())


@dataclass(frozen=True, slots=True)
class Run:
    """The parts that were asked for, one after the other."""

    ground: Ground
    plan: Plan
    names: Sequence[str]
    results: Results

    async def all(self) -> None:
        if self.plan.parts & ROUND_PARTS:
            for number in range(self.plan.rounds):
                await self._each(self.names, f"round {number + 1}", rounds.one_round)
        parts: dict[str, Callable[[], Awaitable[None]]] = {
            "stores": self._stores,
            "claims": self._claims,
            "takeover": self._takeover,
            "workers": self._workers,
            "broker": self._broker,
        }
        for part, measure in parts.items():
            if part in self.plan.parts:
                await measure()

    async def _stores(self) -> None:
        await self._each(READERS, "GET", stores.reads)

    async def _claims(self) -> None:
        if {OnSqlite.name, Fleet.name} & {*self.names}:
            await self._attempt("claims", "claims", stores.claims(self.ground, self.plan, self.results))

    async def _takeover(self) -> None:
        await self._each(LOSERS, "takeover", failures.takeover)
        for _ in range(self.plan.rounds - 1):
            await self._each((OnSqlite.name, Fleet.name), "takeover", failures.takeover)

    async def _workers(self) -> None:
        for name, measure in (
            (Fleet.name, workers.one_and_two),
            (ByHand.name, workers.one_and_two_by_hand),
        ):
            if name in self.names:
                await self._attempt(name, "workers", measure(self.ground, self.plan, self.results))

    async def _broker(self) -> None:
        there = [
            one for one in (Fleet, ByHand) if one.name in self.names and one.name not in self.results.left_out
        ]
        away = failures.broker_away([one(self.ground) for one in there], self.plan, self.results)
        await self._attempt("broker", "broker", away)

    async def _each(
        self,
        names: Sequence[str],
        part: str,
        measure: Callable[[Contestant, Plan, Results], Coroutine[None, None, None]],
    ) -> None:
        for name in names:
            if name in self.names:
                await self._attempt(name, part, measure(ALL[name](self.ground), self.plan, self.results))

    async def _attempt(self, name: str, part: str, work: Coroutine[None, None, None]) -> None:
        """One part for one contestant; what goes wrong leaves that out and nothing else."""
        if name in self.results.left_out:
            work.close()
            return
        begun = time.perf_counter()
        try:
            await work
        except (Missing, ChargehandError, RuntimeError, TimeoutError, OSError) as failure:
            could_start = self.results.figure(("start", name)) is not None or not isinstance(failure, Missing)
            self.results.left_out[f"{name}, {part}" if could_start else name] = str(failure) or repr(failure)
            say(f"{name}, {part}: left out: {failure}")
        else:
            say(f"{name}, {part}: {time.perf_counter() - begun:.0f} s")


def _about(quick: bool, seconds: float) -> dict[str, object]:
    found: dict[str, object] = {
        "Run": f"{datetime.now(UTC):%Y-%m-%d}, {seconds / 60:.0f} minutes{', quick: rough figures' if quick else ''}",
        "Machine": f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}",
    }
    if hasattr(os, "getloadavg"):
        found["Load of the machine over the last quarter of an hour, its own included"] = (
            f"{os.getloadavg()[2]:.1f}"
        )
    return found


def write(results: Results, names: Sequence[str], out: Path, about: dict[str, object]) -> None:
    """The page, the data and the plot."""
    out.mkdir(parents=True, exist_ok=True)
    contestants = {name: ALL[name].what for name in names}
    verdicts = [judge(goal, results) for goal in GOALS]
    data = as_data(results, MEASURES, GOALS, about)
    (out / "performance.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    (out / "performance.svg").write_text(drawing(verdicts), encoding="utf-8")
    text = page(results, MEASURES, GOALS, contestants, about)
    (out / "performance.md").write_text(text, encoding="utf-8")
    known = [verdict for verdict in verdicts if verdict.standing is not Standing.UNKNOWN]
    sys.stdout.write(goal_table(known) + f"\n\nwritten: {out / 'performance.md'}, .json, .svg\n")


if __name__ == "__main__":
    sys.exit(main())
