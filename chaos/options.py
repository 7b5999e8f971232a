"""What the harness can be told on its command line."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ENGINES = (
    "celery: API processes, workers and upkeep; replicas: processes with the embedded engine on one PostgreSQL; \
embedded: one process with SQLite (default celery)"
)
EXAMPLES = """examples:
  python3 dev.py chaos                             10 minutes against PostgreSQL, Redis, RabbitMQ and a fleet
  python3 dev.py chaos --minutes 2 --seed 7        shorter; the same seed draws the same faults in the same order
  python3 dev.py chaos --engine embedded           one process with SQLite, killed over and over
  python3 dev.py chaos --engine replicas           processes with the embedded engine, sharing one PostgreSQL
  python3 dev.py chaos --broker redis --report out wake-ups over Redis too; the report goes to out/

It starts servers of its own on free loopback ports and touches none of the machine's. It exits with 1 when a promise is
broken, and then keeps every log; with 2 when it cannot begin. docs/chaos.md says how to read the report.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """One run."""

    engine: str
    broker: str
    minutes: float
    seed: int
    report: Path
    clients: int
    kills_per_second: float
    lease_seconds: float
    patience_seconds: float
    apis: int
    workers: int
    upkeeps: int
    logs: Path | None


def parse(arguments: Sequence[str]) -> Options:
    """The options; exits with 2 and a word on what is wrong, or 0 after --help."""
    parser = argparse.ArgumentParser(
        prog="python3 dev.py chaos",
        description="Break a whole installation on purpose for a while, then check what must always be true.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--engine", choices=("celery", "replicas", "embedded"), default="celery", help=ENGINES)
    add("--broker", choices=("rabbitmq", "redis"), default="rabbitmq", help="of the fleet (default rabbitmq)")
    add("--minutes", type=_number(0.05, 600), default=10.0, help="with faults (default 10)")
    add("--seed", type=int, default=1, help="of the faults and of the work (default 1)")
    add("--report", type=Path, default=Path("chaos-report"), metavar="FOLDER", help="default chaos-report")
    add("--clients", type=_whole(1, 200), default=16, help="that submit and follow tasks (default 16)")
    add("--kills-per-second", type=_number(0.01, 50), default=2.2, help="over all processes (default 2.2)")
    add("--lease-seconds", type=_number(1, 60), default=3.0, help="of the workers (default 3)")
    add(
        "--patience-seconds", type=_number(1, 3600), default=180.0, help="for all to end after the last fault"
    )
    add("--apis", type=_whole(1, 8), default=3, help="API processes, or replicas (default 3)")
    add("--workers", type=_whole(1, 16), default=6, help="worker processes of the fleet (default 6)")
    add("--upkeeps", type=_whole(1, 4), default=2, help="upkeep processes of the fleet (default 2)")
    add("--logs", type=Path, metavar="FOLDER", help="keep the logs there also when all promises hold")
    return Options(**vars(parser.parse_args(arguments)))


class _Bounded:
    """A number from the command line, between two bounds."""

    def __init__(self, kind: type[int] | type[float], least: float, most: float) -> None:
        self._kind, self._least, self._most = kind, least, most

    def __call__(self, text: str) -> int | float:
        try:
            value = self._kind(text)
        except ValueError:
            value = None
        # A number that is none (nan) is between no bounds.
        if value is None or not self._least <= value <= self._most:
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {self._least:g} to {self._most:g}")
        return value


def _number(least: float, most: float) -> _Bounded:
    return _Bounded(float, least, most)


def _whole(least: int, most: int) -> _Bounded:
    return _Bounded(int, least, most)
