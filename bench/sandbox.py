"""How much longer a command takes in each sandbox level than as a plain subprocess.

Usage: `python bench/sandbox.py [runs]`. The ways take turns, so that all see the same load of the machine.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from chargehand.errors import SandboxUnavailable
from chargehand.tools.sandbox import Sandbox, SandboxCommand, SandboxLevel, open_sandbox

ARGV = ("/bin/bash", "-c", "true")
WARM_UP = 5
Way = Callable[[Path], Awaitable[None]]


async def plain(workspace: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *ARGV,
        cwd=workspace,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    await process.communicate()


def within(sandbox: Sandbox) -> Way:
    async def run(workspace: Path) -> None:
        await sandbox.run(SandboxCommand(argv=ARGV, workspace=workspace))

    return run


async def ways() -> dict[str, Way]:
    found: dict[str, Way] = {"plain subprocess": plain}
    for level in SandboxLevel:
        try:
            found[level.value] = within(await open_sandbox(level))
        except SandboxUnavailable as error:
            say(f"{level}: not here ({error.message[:70]}…)")
    return found


async def measured(found: dict[str, Way], runs: int, workspace: Path) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in found}
    for number in range(runs + WARM_UP):
        for name, way in found.items():
            begun = time.perf_counter()
            await way(workspace)
            if number >= WARM_UP:
                times[name].append((time.perf_counter() - begun) * 1000)
    return times


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


async def main(runs: int) -> None:
    found = await ways()
    with tempfile.TemporaryDirectory() as folder:
        times = await measured(found, runs, Path(folder))
    base = statistics.quantiles(times["plain subprocess"], n=20)
    say(f"{runs} runs each of {' '.join(ARGV)}; milliseconds")
    for name, taken in times.items():
        points = statistics.quantiles(taken, n=20)
        extra = f"+{points[9] - base[9]:5.1f} / +{points[18] - base[18]:5.1f}"
        say(f"{name:18} p50 {points[9]:6.1f}  p95 {points[18]:6.1f}  over plain (p50 / p95) {extra}")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
