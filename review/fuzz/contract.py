"""Schemathesis over the whole OpenAPI document: valid and invalid requests by the schemas, every check that it has.

Its settings are those of tests/api/schemathesis.toml, where a few seconds of the same run with every change.
"""

import asyncio
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from review.fuzz.ground import ROOT, Served

ROUND_SECONDS = 60
_CONFIG = ROOT / "tests" / "api" / "schemathesis.toml"
_COUNTED = re.compile(
    r"^chargehand_http_requests_total\{(?P<labels>.*)\} (?P<count>[0-9.e+]+)$", re.MULTILINE
)
_OF_REAL_AGENTS = """
[[operations]]
include-operation-id = "submit_task"
[operations.checks]
# An agent that no model runs has no answer to shape by an output_schema.
positive_data_acceptance.expected-statuses = [200, 202, 404, 409, 422, 429]
"""


@dataclass(slots=True)
class Contract:
    """What schemathesis generated and found."""

    cases: int = 0
    rounds: int = 0
    statuses: Counter[str] = field(default_factory=Counter[str])
    failed: list[str] = field(default_factory=list[str])
    """What it printed in each round that did not pass."""
    seconds: float = 0.0


async def fuzz_contract(
    service: Served,
    folder: Path,
    *,
    cases: int,
    seed: int,
    most_seconds: float,
    progress: Callable[[Contract], object],
) -> Contract:
    """Rounds with one seed after the other until there were so many cases, or the time is up."""
    found, started = Contract(), time.monotonic()
    config = folder / "schemathesis.toml"
    config.write_text(_CONFIG.read_text(encoding="utf-8") + _OF_REAL_AGENTS, encoding="utf-8")
    before = await _statuses(service)
    while found.cases < cases and time.monotonic() - started < most_seconds:
        count, passed, output = await _round(service, folder, seed + found.rounds)
        found.rounds += 1
        found.cases += count
        found.seconds = time.monotonic() - started
        if not passed:
            found.failed.append(output)
        progress(found)
        if count == 0 or not service.is_alive:
            break
    found.statuses = await _statuses(service) - before
    return found


async def _round(service: Served, folder: Path, seed: int) -> tuple[int, bool, str]:
    environment = {
        **os.environ,
        "SCHEMATHESIS_HOOKS": "tests.api.schemathesis_hooks",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
        "NO_COLOR": "1",
    }
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "schemathesis"),
        f"--config-file={folder / 'schemathesis.toml'}",
        "run",
        f"{service.url}/openapi.json",
        f"--header=Authorization: Bearer {service.key}",
        "--phases=examples,coverage,fuzzing",
        f"--max-time={ROUND_SECONDS}",
        "--continue-on-failure",
        "--no-shrink",
        "--request-timeout=5",
        "--generation-database=none",
        f"--seed={seed}",
        cwd=folder,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode("utf-8", "replace")
    counted = re.search(r"(\d+) generated", output)
    return int(counted[1]) if counted else 0, process.returncode == 0, output


async def _statuses(service: Served) -> Counter[str]:
    """How many answers of each status the service has given, by its own count."""
    headers = {"Authorization": f"Bearer {service.key}"}
    async with httpx2.AsyncClient(timeout=30) as client:
        text = (await client.get(f"{service.url}/metrics", headers=headers)).text
    found: Counter[str] = Counter()
    for match in _COUNTED.finditer(text):
        status = re.search(r'status="(\d+)"', match["labels"])
        if status is not None:
            found[status[1]] += int(float(match["count"]))
    return found
