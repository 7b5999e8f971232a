"""Fuzz the whole service: no answer of 500 or above, none that the OpenAPI document does not declare.

    python3 dev.py fuzz                                 everything; ten minutes on a machine that has other work
    python3 dev.py fuzz --bodies 5000 --only inside     one part, smaller
    python3 dev.py fuzz --seed 7                        other requests; the same seed makes the same ones

Parts: `contract` (schemathesis over the document, against a served process), `inside` (fuzzed paths, queries, headers
and bodies, in this process) and `sockets` (what is no HTTP, over connections). Routes are found by themselves.
Exit code 0: nothing was found; 1: something was; 2: it could not be run to its end.
"""

import argparse
import asyncio
import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import httpx2

from chargehand.telemetry.logs import configure_logging
from review.fuzz.answers import refused_unread
from review.fuzz.contract import Contract, fuzz_contract
from review.fuzz.ground import Served, opened, served
from review.fuzz.inside import HARD_TO_REACH, MANY, STALL_SECONDS, Findings, fuzz_inside
from review.fuzz.sockets import Heard, fuzz_sockets

NOTHING_FOUND, FOUND, NOT_RUN = 0, 1, 2
PARTS = ("contract", "inside", "sockets")


def main(arguments: Sequence[str]) -> int:
    """One run; its exit code."""
    parser = argparse.ArgumentParser(prog="dev.py fuzz", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", type=int, default=20_000, help="of schemathesis (20000)")
    parser.add_argument(
        "--bodies", type=int, default=100_000, help="fuzzed requests in this process (100000)"
    )
    parser.add_argument("--connections", type=int, default=5_000, help="over sockets (5000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=20, help="of schemathesis at most (20)")
    parser.add_argument("--only", choices=PARTS, action="append", help="this part; may be given again")
    chosen = parser.parse_args(arguments)
    configure_logging("critical", "console")
    try:
        return asyncio.run(_run(chosen, chosen.only or PARTS))
    except ConnectionError as error:
        print(f"fuzz: {error}", file=sys.stderr)
        return NOT_RUN


async def _run(chosen: argparse.Namespace, parts: Sequence[str]) -> int:
    codes: list[int] = []
    started = time.monotonic()
    over_sockets = [part for part in parts if part != "inside"]
    with tempfile.TemporaryDirectory(prefix="fuzz-", ignore_cleanup_errors=True) as name:
        if not over_sockets:
            codes.append(await _inside(Path(name), chosen))
        elif "inside" not in parts:
            codes += await _served(Path(name), chosen, over_sockets)
        else:
            # Side by side: each of the two keeps less than one processor busy.
            async with asyncio.TaskGroup() as group:
                beside = group.create_task(_inside_beside(chosen))
                codes += await _served(Path(name), chosen, over_sockets)
            codes.append(beside.result())
    print(f"{time.monotonic() - started:.0f} s in all")
    return max(codes)


async def _inside_beside(chosen: argparse.Namespace) -> int:
    """That part in a process of its own, whose loop is to be watched."""
    command = (sys.executable, "-m", "review.fuzz", "--only=inside", f"--seed={chosen.seed}")
    process = await asyncio.create_subprocess_exec(*command, f"--bodies={chosen.bodies}")
    try:
        return await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


async def _inside(folder: Path, chosen: argparse.Namespace) -> int:
    place = folder / "inside"
    place.mkdir()
    async with opened(place) as (app, key):
        found = await fuzz_inside(app, key, cases=chosen.bodies, seed=chosen.seed, progress=_tell)
    _table(
        "fuzzed paths, queries, headers and bodies",
        found.cases,
        found.seconds,
        found.statuses,
        found.failures,
    )
    print(
        f"longest turn of the loop: {found.longest_turn_seconds * 1000:.1f} ms of its processor"
        f" (at most {STALL_SECONDS * 1000:.0f}): {found.slowest[:160]}"
    )
    silent = sorted(found.operations - found.reached.keys())
    print(
        f"operations: {len(found.operations)}, of which these never gave a good answer: {', '.join(silent)}"
    )
    short = refused_unread(found.statuses)
    if chosen.bodies >= MANY:
        short += [f"{one} never gave a good answer" for one in silent if one not in HARD_TO_REACH]
    return _worst(found.failures, short)


async def _served(folder: Path, chosen: argparse.Namespace, parts: Sequence[str]) -> list[int]:
    place = folder / "served"
    place.mkdir()
    codes: list[int] = []
    async with served(place, _free_port()) as service:
        if "sockets" in parts:
            document = httpx2.get(f"{service.url}/openapi.json").json()
            heard = await fuzz_sockets(
                *(service.url, service.port, service.key, document),
                cases=chosen.connections, seed=chosen.seed, progress=_tell,
            )  # fmt: skip
            _table("connections", heard.cases, heard.seconds, heard.statuses, heard.failures)
            print(f"slowest /health beside them: {heard.slowest_health_seconds * 1000:.0f} ms")
            codes.append(FOUND if heard.failures else NOTHING_FOUND)
        if "contract" in parts:
            codes.append(await _contract(service, place, chosen))
        if not service.is_alive:
            print(f"the service has died: {service.log.read_text(encoding='utf-8')[-2000:]}", file=sys.stderr)
            codes.append(FOUND)
    return codes


async def _contract(service: Served, place: Path, chosen: argparse.Namespace) -> int:
    found = await fuzz_contract(
        *(service, place), cases=chosen.cases, seed=chosen.seed, most_seconds=chosen.minutes * 60, progress=_tell
    )  # fmt: skip
    _table(
        f"schemathesis, {found.operations} operations, {found.rounds} rounds",
        found.cases,
        found.seconds,
        found.statuses,
        found.failures,
    )
    short = [*found.unfinished, *refused_unread(found.statuses)]
    if found.cases < chosen.cases:
        short.append(f"only {found.cases} of {chosen.cases} cases were made")
    return _worst(found.failures, short)


def _worst(failures: Mapping[str, str], short: Sequence[str]) -> int:
    """The exit code of a part; what it falls short of is told."""
    for what in short:
        print(f"SHORT {what}", file=sys.stderr)
    return FOUND if failures else NOT_RUN if short else NOTHING_FOUND


def _tell(so_far: Findings | Heard | Contract) -> None:
    found = "".join(f"\n    {what[:160]}" for what in so_far.failures)
    print(
        f"{type(so_far).__name__}: {so_far.cases} cases, {so_far.seconds:.0f} s,"
        f" {len(so_far.failures)} faults{found}",
        flush=True,
    )


def _table(
    title: str,
    cases: int,
    seconds: float,
    statuses: Mapping[int, int] | Mapping[str, int],
    failures: Mapping[str, str],
) -> None:
    print(
        f"\n{title}: {cases} cases in {seconds:.0f} s, {len(failures)} faults\n\n| status | answers |\n|---|---|"
    )
    for status in sorted(statuses, key=str):
        print(f"| {status} | {statuses[status]} |")  # pyright: ignore[reportArgumentType] - a key of this mapping
    for what, example in failures.items():
        print(f"FAULT {what}\n      {example}")
    print(flush=True)


def _free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port: int = listener.getsockname()[1]
    return port


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
