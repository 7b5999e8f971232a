"""What one tenant that takes all it can does to another that works as usual.

    python -m bench.abuse                       about four minutes
    python -m bench.abuse --rounds 2 --seconds 3
    python -m bench.abuse --unlimited           the same without limits for tenants, to see what they are for

One tenant submits 1,000 tasks a second, opens 1,000 streams and sends 1,000 wrong keys a second, in a process of its
own, to a real `chargehand serve` on SQLite. Another submits and reads at a steady pace, and its times are what is told.
Windows take turns: `idle` (the other tenant alone), `neutral` (the same attack on a server that does nothing: what it
costs the machine), `fair` (the first tenant takes what its limits allow and no more), `abuse` (the attack on the
service). An attack begins a little before its window, so that what it may take at once is used up. The goal compares
abuse with neutral, by the p99 of all windows together; all are told beside idle too, since a machine with few cores
pays for the attacker itself. Where the system can be told so, the service, or what does nothing in its place, has a
processor of its own and both clients share the others: they stand for other machines.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Coroutine, Generator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from bench.agents import NAMES, write_definitions
from bench.attack import Attack
from bench.ground import ROOT, Ground
from bench.load import Connection, percentile, request
from bench.ours import OnSqlite
from chargehand.app.service import open_app
from chargehand.domain.access import Principal, Scope
from chargehand.settings import Settings

KINDS = ("idle", "neutral", "fair", "abuse")
GOAL = 1.2
LEAD_SECONDS = 2.0
PACE_PER_SECOND = 50.0
SUBMITS = 5
"""One in so many requests submits."""
LIMITS = {
    "CHARGEHAND_TENANT_REQUESTS_PER_SECOND": "100",
    "CHARGEHAND_TENANT_SUBMITS_PER_SECOND": "12",
    "CHARGEHAND_TENANT_CONCURRENCY": "4",
    "CHARGEHAND_TENANT_BACKLOG_LIMIT": "500",
    "CHARGEHAND_TENANT_STREAMS": "100",
    "CHARGEHAND_KEY_STREAMS": "100",
}
"""What an operator of a shared service would set; the tenant that works as usual keeps well within them."""
FAIR = {"submits_per_second": 11.0, "wrong_keys_per_second": 0.0, "streams": 100}
"""What the first tenant may take."""


class SharedService(OnSqlite):
    """`chargehand serve` with two tenants, each with a key and the agents of the benchmark."""

    name = "shared"

    def __init__(self, ground: Ground, limits: Mapping[str, str]) -> None:
        super().__init__(ground, slots=8)
        self.limits = limits
        self.keys: dict[str, str] = {}

    async def prepare(self) -> None:
        await super().prepare()
        agents = self.folder / "agents"
        write_definitions(agents)
        settings = Settings(data_dir=self.folder, sandbox="none", functions=_functions())
        async with open_app(settings, with_engine=False) as app:
            for tenant in ("usual", "abusive"):
                who = Principal(id=tenant, tenant=tenant, scopes=frozenset({Scope.ADMIN}))
                self.keys[tenant], _ = await app.services.keys.issue(who, "bench", who.scopes)
                texts = {name: (agents / f"{name}.md").read_text(encoding="utf-8") for name in NAMES}
                await app.core.agents.publish_all(who, texts)

    def variables(self) -> dict[str, str]:
        return {**super().variables(), **self.limits}


def _functions() -> tuple[str, ...]:
    return tuple(f"{name}=bench.agents:{name}" for name in NAMES)


@dataclass(slots=True)
class Found:
    """The times of the tenant that works as usual, in milliseconds, by kind of window and of request."""

    times: dict[tuple[str, str], list[float]] = field(default_factory=dict[tuple[str, str], list[float]])
    failed: int = 0
    told: list[dict[str, object]] = field(default_factory=list[dict[str, object]])

    def p(self, kind: str, what: str, percent: float) -> float:
        return percentile(self.times[kind, what], percent)


async def usual(port: int, key: str, seconds: float, kind: str, found: Found) -> None:
    """Submits and reads at set times."""
    mine = (f"Authorization: Bearer {key}",)
    submit = request("POST", "/agents/noop/tasks", headers=mine, body=b'{"task_data": {"number": 42}}')
    connections = [await Connection.open(port) for _ in range(8)]
    _, answer = await connections[0].ask(submit)
    read = request("GET", f"/tasks/{json.loads(answer)['id']}", headers=mine)
    free = list(connections)

    async def ask(what: str, raw: bytes, expected: int, due: float) -> None:
        connection = free.pop() if free else await Connection.open(port)
        try:
            status, _ = await connection.ask(raw)
        except OSError:
            status = 0
        found.times.setdefault((kind, what), []).append((time.perf_counter() - due) * 1000)
        found.failed += status != expected
        if status:
            free.append(connection)

    begun = time.perf_counter()
    async with asyncio.TaskGroup() as asked:
        for number in range(int(seconds * PACE_PER_SECOND)):
            await asyncio.sleep(begun + number / PACE_PER_SECOND - time.perf_counter())
            # From when it is sent: how late this process woke up is not the service's doing.
            what, raw, expected = ("GET", read, 200) if number % SUBMITS else ("submit", submit, 202)
            asked.create_task(ask(what, raw, expected, time.perf_counter()))
    for connection in free:
        connection.close()


class Attacker:
    """The process that attacks, told by lines what to do."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        told: asyncio.StreamWriter,
        answers: asyncio.StreamReader,
        sink: int,
    ) -> None:
        self._process = process
        self._told = told
        self._answers = answers
        self.sink = sink

    @classmethod
    async def start(cls) -> "Attacker":
        variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src")])}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.attack"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=variables,
        )
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the attacker has no pipes")
        sink = json.loads(await process.stdout.readline())["sink"]
        return cls(process, process.stdin, process.stdout, sink)

    async def attack(self, wanted: Attack) -> dict[str, object]:
        self._told.write(json.dumps(asdict(wanted)).encode() + b"\n")
        await self._told.drain()
        line = await self._answers.readline()
        if not line:
            raise RuntimeError("the attacker has ended")
        return json.loads(line)

    async def stop(self) -> None:
        self._told.close()
        await self._process.wait()


async def later(work: Coroutine[None, None, None], seconds: float) -> None:
    """The work, when so many seconds are over."""
    await asyncio.sleep(seconds)
    await work


async def measured(service: SharedService, attacker: Attacker, sink: int, asked: argparse.Namespace) -> Found:
    """Windows of each kind in turn. `sink`: the port that does nothing."""
    found = Found()
    submit = request(
        "POST",
        "/agents/hold/tasks",
        headers=(f"Authorization: Bearer {service.keys['abusive']}",),
        body=b'{"task_data": {"seconds": 3600}}',
    )
    connection = await Connection.open(service.port)
    _, answer = await connection.ask(submit)
    connection.close()
    wanted = Attack(
        port=service.port,
        key=service.keys["abusive"],
        path="/agents/noop/tasks",
        task_id=json.loads(answer)["id"],
        seconds=LEAD_SECONDS + asked.seconds,
        submits_per_second=asked.load,
        wrong_keys_per_second=asked.load,
        streams=int(asked.load),
    )
    attacks = {"neutral": replace(wanted, port=sink), "fair": replace(wanted, **FAIR), "abuse": wanted}
    await usual(service.port, service.keys["usual"], 1.0, "warm", found)
    for _ in range(asked.rounds):
        for kind in KINDS:
            work = usual(service.port, service.keys["usual"], asked.seconds, kind, found)
            if kind == "idle":
                await work
                continue
            told, _ = await asyncio.gather(attacker.attack(attacks[kind]), later(work, LEAD_SECONDS))
            if kind == "abuse":
                found.told.append(told)
    return found


def page(found: Found) -> str:
    """What was found, as lines."""
    lines = ["                 p50 ms   p99 ms   p99 to neutral   p99 to fair   p99 to idle   requests"]
    for what in ("submit", "GET"):
        for kind in KINDS:
            p99 = found.p(kind, what, 99)
            ratios = [p99 / found.p(other, what, 99) for other in ("neutral", "fair", "idle")]
            lines.append(
                f"{what:7} {kind:8} {found.p(kind, what, 50):7.2f}  {p99:7.2f}   {ratios[0]:14.2f}   {ratios[1]:11.2f}"
                f"   {ratios[2]:11.2f}   {len(found.times[kind, what]):8}"
            )
    worst = max(found.p("abuse", what, 99) / found.p("neutral", what, 99) for what in ("submit", "GET"))
    met = "met" if worst <= GOAL else "short"
    lines += [
        f"goal: p99 of the tenant that works as usual at most {GOAL:g} × under abuse: {worst:.2f}, {met}",
        f"its requests that failed: {found.failed}",
        f"the attacks came to: {json.dumps(found.told)}",
    ]
    return "\n".join(lines) + "\n"


async def run(asked: argparse.Namespace) -> Found:
    with tempfile.TemporaryDirectory(prefix="chargehand-abuse-", ignore_cleanup_errors=True) as folder:
        ground = Ground(Path(folder), ROOT / ".bench", os.environ)
        service = SharedService(ground, {} if asked.unlimited else LIMITS)
        for_service, for_clients = processors()
        async with AsyncExitStack() as started:
            with on(for_service):
                started.push_async_callback(service.stop)
                await service.start()
                sink = await Attacker.start()
                started.push_async_callback(sink.stop)
            with on(for_clients):
                attacker = await Attacker.start()
                started.push_async_callback(attacker.stop)
                return await measured(service, attacker, sink.sink, asked)


def processors() -> tuple[set[int], set[int]]:
    """Those of the service and those of its clients; none are named where the system cannot be told."""
    if sys.platform != "linux" or len(may := sorted(os.sched_getaffinity(0))) < 2:
        return set(), set()
    return set(may[:1]), set(may[1:])


@contextmanager
def on(wanted: set[int]) -> Generator[None, None, None]:
    """In the block, this process stays on these processors; what it starts there stays on them to its end."""
    if sys.platform != "linux" or not wanted:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, wanted)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="bench.abuse", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each window")
    parser.add_argument("--load", type=float, default=1000.0, help="submissions, wrong keys, streams")
    parser.add_argument("--unlimited", action="store_true", help="no limits for tenants")
    asked = parser.parse_args(arguments)
    sys.stdout.write(page(asyncio.run(run(asked))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
