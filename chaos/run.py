"""One run, as a list of steps: start, load, break, make good, wait until all has ended, check, report."""

import asyncio
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

from chaos import agents, checker, ledger, report
from chaos.clients import Load
from chaos.embedded import open_embedded
from chaos.faults import Faults
from chaos.fleet import open_fleet
from chaos.installation import Installation
from chaos.options import Options
from chaos.outside import DatabaseSilent
from chaos.results import Result
from chaos.takeovers import takeovers

UP_SECONDS = 120.0
CALM_SECONDS = 180.0
TOLD_EVERY_SECONDS = 10.0

Opener = Callable[[Path, Options], AbstractAsyncContextManager[Installation]]
ENGINES: dict[str, Opener] = {"embedded": open_embedded, "replicas": open_fleet, "celery": open_fleet}


class NotBegun(Exception):
    """The installation did not come up before anything was broken."""


async def run(options: Options) -> Result:
    """Do all of it, and write the report."""
    async with _a_folder(options) as folder:
        async with ENGINES[options.engine](folder, options) as installation:
            await _wait_until_up(installation)
            result = await _break_and_check(installation, options)
        report.write(result, options.report)
        if options.logs is not None or not result.holds:
            kept = options.logs or options.report / "logs"
            await asyncio.to_thread(_keep_logs, folder, kept)
    return result


@asynccontextmanager
async def _a_folder(options: Options) -> AsyncGenerator[Path, None]:
    """A temporary folder that is gone at the end; what a failed run leaves is copied before."""
    del options
    folder = Path(tempfile.mkdtemp(prefix="chargehand-chaos-"))
    try:
        yield folder
    finally:
        await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _wait_until_up(installation: Installation) -> None:
    for node in installation.nodes:
        if not await node.up(UP_SECONDS):
            words = node.own_ends[-1].last_words if node.own_ends else "no word from it"
            raise NotBegun(f"{node.name} is not at work after {UP_SECONDS:g} s: {words}")


async def _break_and_check(installation: Installation, options: Options) -> Result:
    load = Load(
        ports=installation.client_ports,
        key=installation.key_file.read_text(encoding="utf-8").strip(),
        clients=options.clients,
        chance=random.Random(f"{options.seed}/clients"),
        agents=agents.MIX,
    )
    faults = Faults(installation=installation, seed=options.seed, kills_per_second=options.kills_per_second)
    problems: list[str] = []
    began_at = time.time()
    loading, telling = asyncio.create_task(load.run()), asyncio.create_task(_tell(installation, load))
    try:
        await _break(faults, options.minutes * 60)
        problems += await _make_good(installation)
        calm_at = time.time()
        load.enough.set()
        problems += await _wait_until_ended(installation, load, loading, options.patience_seconds)
        rested_at = time.time()
    finally:
        for task in (loading, telling):
            task.cancel()
        await asyncio.gather(loading, telling, return_exceptions=True)
    found = await checker.check_all(installation.outside, load.seen, ledger.read(installation.ledger))
    roles = sorted({node.role for node in installation.nodes})
    return Result(
        title=f"Chaos on the {options.engine} engine",
        seed=options.seed,
        began_at=began_at,
        calm_at=calm_at,
        rested_at=rested_at,
        clients=options.clients,
        lives={node.name: node.lives for node in installation.nodes},
        seconds_to_be_up={role: _medians(installation, role) for role in roles},
        kills=installation.kills,
        own_ends=installation.own_ends,
        faults=faults.done,
        seen=load.seen,
        answers=load.answers,
        takeovers=await takeovers(installation.outside, installation.kills),
        found=found,
        problems=problems,
        skipped=installation.skipped,
    )


async def _break(faults: Faults, seconds: float) -> None:
    """Let the faults run for so long; one under way is ended early."""
    running = asyncio.create_task(faults.run())
    try:
        await asyncio.wait([running], timeout=seconds)
        faults.enough.set()
        async with asyncio.timeout(CALM_SECONDS):
            await running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _make_good(installation: Installation) -> list[str]:
    try:
        async with asyncio.timeout(CALM_SECONDS):
            await installation.calm()
    except TimeoutError:
        pass
    return [f"{node.name} did not come up again" for node in installation.nodes if not node.is_up]


async def _wait_until_ended(
    installation: Installation, load: Load, loading: asyncio.Task[None], patience_seconds: float
) -> list[str]:
    """Until every client has seen its last task end and no task is open, or the patience is over."""
    until = time.monotonic() + patience_seconds
    await asyncio.wait([loading], timeout=patience_seconds)
    problems: list[str] = []
    if loading.done():
        loading.result()
    else:
        left = [one.task_id or one.key for one in load.seen if not one.ends]
        problems.append(f"clients still wait for the end of {len(left)} tasks: {', '.join(left[:5])}")
    while time.monotonic() < until:
        with suppress(DatabaseSilent):
            if await checker.open_tasks(installation.outside) == 0:
                break
        await asyncio.sleep(0.2)
    return problems


async def _tell(installation: Installation, load: Load) -> None:
    """A line now and then on how it goes."""
    began = time.monotonic()
    while True:
        await asyncio.sleep(TOLD_EVERY_SECONDS)
        ended = sum(1 for one in load.seen if one.ends)
        up = sum(1 for node in installation.nodes if node.is_up)
        print(
            f"{time.monotonic() - began:5.0f} s: {len(installation.kills)} kills, {ended} tasks seen to end,"
            f" {up} of {len(installation.nodes)} processes at work",
            file=sys.stderr,
            flush=True,
        )


def _medians(installation: Installation, role: str) -> tuple[float, float]:
    """From a start to being at work: seconds, and seconds of a processor."""
    nodes = [node for node in installation.nodes if node.role == role]
    taken = [seconds for node in nodes for seconds in node.seconds_to_be_up] or [0.0]
    cpu = [seconds for node in nodes for seconds in node.cpu_seconds_to_be_up] or [0.0]
    return statistics.median(taken), statistics.median(cpu)


def _keep_logs(folder: Path, kept: Path) -> None:
    """The logs, the ledger and the clients' view: what is needed to find out why."""
    kept.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.is_file():
            shutil.copy(path, kept / path.name)
