"""Schemathesis over the whole OpenAPI document: valid and invalid requests by the schemas, every check that it has.

Its settings are those of tests/api/schemathesis.toml, where a few seconds of the same run with every change. Each
process has some of the operations, and a last one follows the links between all of them. A process ends by its number
of examples and not by a clock: on a busy machine it was through with too few.
"""

import asyncio
import json
import math
import os
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from review.fuzz.ground import ROOT, Served
from review.fuzz.requests import stood_on

PROCESSES = 4
"""Beside the one that follows links."""
LINKED_EXAMPLES = 200
"""Chains of calls."""
LEAST_EXAMPLES = 10
"""Of each operation in a round."""
_MOST_TOLD = 6_000
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
    operations: int = 0
    statuses: Counter[str] = field(default_factory=Counter[str])
    failures: dict[str, str] = field(default_factory=dict[str, str])
    """What a process printed that found something, by the process."""
    unfinished: list[str] = field(default_factory=list[str])
    """Processes that were not through with what they had to do."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Errand:
    """What one process has to do; no operations: all."""

    name: str
    phases: str
    examples: int
    seed: int
    operations: Sequence[str] = ()


async def fuzz_contract(
    service: Served,
    folder: Path,
    *,
    cases: int,
    seed: int,
    most_seconds: float,
    progress: Callable[[Contract], object],
) -> Contract:
    """Everything once, then more of the random requests until there were so many cases, or the time is up."""
    found, started = Contract(), time.monotonic()
    config = folder / "schemathesis.toml"
    config.write_text(_CONFIG.read_text(encoding="utf-8") + _OF_REAL_AGENTS, encoding="utf-8")
    before = await _statuses(service)
    shares = await _shares(service)
    found.operations = sum(map(len, shares))
    try:
        async with asyncio.timeout(most_seconds):
            while found.cases < cases and not found.unfinished and service.is_alive:
                at_start = found.cases
                async with asyncio.TaskGroup() as group:
                    for errand in _errands(shares, cases - found.cases, found.rounds, seed):
                        group.create_task(_run(service, folder, errand, found))
                found.rounds += 1
                found.seconds = time.monotonic() - started
                progress(found)
                if found.cases == at_start:
                    break
    except TimeoutError:
        found.unfinished.append(f"the time of {most_seconds / 60:g} minutes was up")
    found.seconds = time.monotonic() - started
    found.statuses = await _statuses(service) - before
    return found


def _errands(shares: Sequence[Sequence[str]], missing: int, finished: int, seed: int) -> list[_Errand]:
    """A round's. In the first also what is not left to chance, and the links."""
    phases = "fuzzing" if finished else "examples,coverage,fuzzing"
    # Of some operations there are fewer different requests than that; a next round makes up for them.
    examples = max(LEAST_EXAMPLES, math.ceil(missing / sum(map(len, shares))))
    errands = [
        _Errand(
            name=f"round {finished + 1}, share {number}",
            phases=phases,
            examples=examples,
            seed=seed + finished,
            operations=operations,
        )
        for number, operations in enumerate(shares, 1)
    ]
    if not finished:
        errands.append(_Errand(name="links", phases="stateful", examples=LINKED_EXAMPLES, seed=seed))
    return errands


async def _run(service: Served, folder: Path, errand: _Errand, found: Contract) -> None:
    report = folder / f"{errand.name}.json"
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "schemathesis"),
        f"--config-file={folder / 'schemathesis.toml'}",
        "run",
        f"{service.url}/openapi.json",
        f"--header=Authorization: Bearer {service.key}",
        f"--phases={errand.phases}",
        f"--max-examples={errand.examples}",
        *(f"--include-operation-id={name}" for name in errand.operations),
        f"--seed={errand.seed}",
        "--continue-on-failure",
        "--no-shrink",
        "--request-timeout=10",
        # They judge how fast requests are made up, on a machine that may have other work; cases are counted here.
        "--suppress-health-check=all",
        "--generation-database=none",
        "--report=json",
        f"--report-json-path={report}",
        cwd=folder,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": "tests.api.schemathesis_hooks",
            "SCHEMATHESIS_SPARES": " ".join(stood_on(service.key)),
            "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]),
            "NO_COLOR": "1",
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output = (await process.communicate())[0].decode("utf-8", "replace")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        found.failures[errand.name] = _told(output)
    if report.exists():
        _note(found, errand, json.loads(report.read_bytes()))
    else:
        found.unfinished.append(f"{errand.name}: no report")


def _note(found: Contract, errand: _Errand, report: dict[str, Any]) -> None:
    found.cases += report["test_cases"]["generated"]
    counts, phases = report["operations"], report["phases"]
    if not report["complete"]:
        found.unfinished.append(f"{errand.name}: stopped by {report['stop_reason']}")
    if errand.operations and counts["tested"] < len(errand.operations):
        found.unfinished.append(
            f"{errand.name}: {counts['tested']} of {len(errand.operations)} operations tested"
        )
    # Examples are passed over where a share has none.
    found.unfinished += [
        f"{errand.name}: {phase} was passed over"
        for phase in errand.phases.split(",")
        if phases[phase]["status"] == "skip" and phase != "examples"
    ]


def _told(output: str) -> str:
    """What it found, of all that it printed; its requests can be as long as they like."""
    starts = [at for at in (output.find("= FAILURES ="), output.find("= ERRORS =")) if at >= 0]
    lines = output[min(starts, default=0) :].partition("= WARNINGS =")[0].splitlines()
    return "\n".join(line[:500] for line in lines if line.strip())[:_MOST_TOLD]


async def _shares(service: Served) -> list[list[str]]:
    """All operations, those of one tag together: a process asks for what it has made itself."""
    async with httpx2.AsyncClient(timeout=30) as client:
        document = (await client.get(f"{service.url}/openapi.json")).json()
    by_tag: dict[str, list[str]] = {}
    for operation in (one for item in document["paths"].values() for one in item.values()):
        by_tag.setdefault(operation["tags"][0], []).append(operation["operationId"])
    shares: list[list[str]] = [[] for _ in range(PROCESSES)]
    for names in sorted(by_tag.values(), key=len, reverse=True):
        min(shares, key=len).extend(names)
    return shares


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
