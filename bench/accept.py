"""Durable accepts, no-op tasks, and submit-to-completed, beside a bare FastAPI endpoint in the same run.

    python bench/accept.py [--count 2000]

Absolute figures depend on the machine and on what else runs there; the ratios are what to read.
"""

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from load import Load, fetch, request, send

BENCH = Path(__file__).parent
BODY = json.dumps({"task_data": {"brief": "b" * 150, "number": 42}}).encode()
START_SECONDS = 30.0
NOOP = """---
name: noop
description: Does nothing, as fast as it can.
chargehand:
  runtime: function
  function: noop
---
It does nothing.
"""


def main() -> None:
    """Measure both servers in turn and print a table of figures and ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=2000, help="requests of each measurement (default 2000)")
    count = parser.parse_args().count
    with bare() as port:
        plain = {clients: asyncio.run(accepts(port, (), clients, count)) for clients in (1, 32)}
    with chargehand() as (port, key):
        ours = asyncio.run(measure(port, (f"Authorization: Bearer {key}",), count))
    show(plain, ours)


async def measure(port: int, headers: tuple[str, ...], count: int) -> dict[str, Load]:
    """Every figure of the service."""
    await accepts(port, headers, 8, 200)
    await drained(port, headers)
    found: dict[str, Load] = {}
    for clients in (1, 32):
        found[f"accept {clients}"] = await accepts(port, headers, clients, count)
        await drained(port, headers)
    started = time.perf_counter()
    burst = await accepts(port, headers, 32, count)
    await drained(port, headers)
    found["tasks"] = Load(time.perf_counter() - started, burst.latencies_ms, burst.failures)
    raw = request("POST", "/agents/noop/tasks", headers=(*headers, "Prefer: wait=10"), body=BODY)
    for clients in (1, 16):
        found[f"completed {clients}"] = await send(
            port, raw, clients=clients, count=max(200, count // 4), expected=(200,)
        )
    return found


async def accepts(port: int, headers: tuple[str, ...], clients: int, count: int) -> Load:
    """Submissions only."""
    raw = request("POST", "/agents/noop/tasks", headers=headers, body=BODY)
    return await send(port, raw, clients=clients, count=count, expected=(202,))


async def drained(port: int, headers: tuple[str, ...]) -> None:
    """Wait until no task is open, by asking; the asking is part of what is measured, as it is for everyone."""
    for status in ("pending", "running"):
        raw = request("GET", f"/agents/noop/tasks?status={status}&limit=1", headers=headers)
        while json.loads((await fetch(port, raw))[1])["items"]:  # noqa: ASYNC110 - the server is another process
            await asyncio.sleep(0.02)


def show(plain: dict[int, Load], ours: dict[str, Load]) -> None:
    """The table."""
    out = sys.stdout
    out.write(f"{'':34}{'chargehand':>12}{'bare':>12}{'ratio':>8}\n")
    for clients, load in plain.items():
        mine = ours[f"accept {clients}"]
        ratio = mine.per_second / load.per_second
        out.write(
            f"{f'durable accepts/s, {clients} client(s)':34}{mine.per_second:12,.0f}{load.per_second:12,.0f}"
            f"{ratio:8.2f}\n"
        )
    tasks = ours["tasks"]
    out.write(
        f"{'no-op tasks/s to completed':34}{tasks.per_second:12,.0f}{plain[32].per_second:12,.0f}"
        f"{tasks.per_second / plain[32].per_second:8.2f}\n"
    )
    for clients in (1, 16):
        load = ours[f"completed {clients}"]
        out.write(
            f"{f'submit to completed, {clients} client(s)':34}"
            f"  p50 {load.percentile(50):.1f} ms, p99 {load.percentile(99):.1f} ms\n"
        )
    failures = sum(load.failures for load in (*plain.values(), *ours.values()))
    out.write(f"failed requests: {failures}\n")


@contextmanager
def bare() -> Generator[int, None, None]:
    """The bare endpoint on a free port."""
    port = _free_port()
    command = [sys.executable, "-m", "uvicorn", "bare:app", "--port", str(port), "--no-access-log"]
    process = subprocess.Popen([*command, "--log-level", "warning"], cwd=BENCH)  # noqa: S603 - our own arguments
    try:
        _wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait()


@contextmanager
def chargehand() -> Generator[tuple[int, str], None, None]:
    """The service with its no-op agent on a free port: (port, key)."""
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder:
        agents = Path(folder) / "agents"
        agents.mkdir()
        (agents / "noop.md").write_text(NOOP, encoding="utf-8")
        environment = {
            **os.environ,
            "PYTHONPATH": str(BENCH),
            "CHARGEHAND_DATA_DIR": folder,
            "CHARGEHAND_PORT": str(port),
            "CHARGEHAND_AGENTS_DIR": str(agents),
            "CHARGEHAND_FUNCTIONS": '["noop=noop:noop"]',
            "CHARGEHAND_SLOTS": "64",
            "CHARGEHAND_LOG_LEVEL": "warning",
        }
        command = [sys.executable, "-m", "chargehand", "serve"]
        process = subprocess.Popen(command, env=environment)  # noqa: S603 - our own arguments
        try:
            _wait_for(port)
            yield port, (Path(folder) / "admin.key").read_text(encoding="utf-8").strip()
        finally:
            process.terminate()
            process.wait()


def _free_port() -> int:

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(port: int) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        try:
            asyncio.run(fetch(port, request("GET", "/health")))
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"nothing answered on port {port} within {START_SECONDS:g} s")


if __name__ == "__main__":
    main()
