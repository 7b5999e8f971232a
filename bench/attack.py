"""The attacker of `python -m bench.abuse`, in a process of its own: the same load on the service, or on a sink.

It reads commands from its input, one JSON a line, and answers each with one line: what came of the load. The sink is a
server that answers every request at once with a refusal; what it and the sending cost stands for the load on the
machine, which is then taken from what the service is measured by.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from bench.load import Connection, request

WRONG_KEY = "chg_live_" + "A" * 46
REFUSAL = b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 2\r\nretry-after: 1\r\n\r\n{}"
BATCH_SECONDS = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """So much, for so long."""

    port: int
    key: str
    path: str
    """Where it submits."""
    task_id: str
    """A task of its own, whose events it streams."""
    seconds: float
    submits_per_second: float
    wrong_keys_per_second: float
    streams: int
    connections: int = 16


class Sink(asyncio.Protocol):
    """Refuses whatever comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        # The requests of one chunk: each has one blank line, and a body without any.
        for _ in range(data.count(b"\r\n\r\n")):
            self._transport.write(REFUSAL)


async def attack(wanted: Attack) -> dict[str, object]:
    """All of it at once; how many got which status."""
    told: dict[str, Counter[str]] = {name: Counter() for name in ("submits", "wrong_keys", "streams")}
    mine = (f"Authorization: Bearer {wanted.key}",)
    submit = request("POST", wanted.path, headers=mine, body=b'{"task_data": {"number": 42}}')
    wrong = [
        request("GET", "/tasks", headers=(f"Authorization: Bearer {WRONG_KEY[:-4]}{number:04}",))
        for number in range(1000)
    ]
    accept = ("Accept: text/event-stream",)
    stream = request("GET", f"/tasks/{wanted.task_id}/events", headers=(*mine, *accept))
    cpu, until = time.process_time(), time.perf_counter() + wanted.seconds
    await asyncio.gather(
        _paced(wanted, [submit], wanted.submits_per_second, until, told["submits"]),
        _paced(wanted, wrong, wanted.wrong_keys_per_second, until, told["wrong_keys"]),
        _streams(wanted, stream, until, told["streams"]),
    )
    return {"client_seconds": time.process_time() - cpu, **told}


async def _paced(
    wanted: Attack, raws: Sequence[bytes], per_second: float, until: float, told: Counter[str]
) -> None:
    """At set times, over a few connections that are kept; a request waits for nothing but a free one."""
    if per_second <= 0:
        return
    turns = _turns(raws)
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for _ in range(wanted.connections):
        free.put_nowait(await Connection.open(wanted.port))
    under_way: set[asyncio.Task[None]] = set()
    begun, sent = time.perf_counter(), 0

    async def ask(connection: Connection, raw: bytes) -> None:
        try:
            status, _ = await connection.ask(raw)
            told[str(status)] += 1
        except OSError:
            told["broken"] += 1
            connection = await Connection.open(wanted.port)
        free.put_nowait(connection)

    while (now := time.perf_counter()) < until:
        due = int((now - begun) * per_second)
        while sent < due:
            if free.empty():
                told["held_back"] += due - sent
                sent = due
                break
            task = asyncio.ensure_future(ask(free.get_nowait(), next(turns)))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            sent += 1
        await asyncio.sleep(BATCH_SECONDS)
    if under_way:
        await asyncio.wait(under_way, timeout=30)
    while not free.empty():
        free.get_nowait().close()


def _turns(raws: Sequence[bytes]) -> Iterator[bytes]:
    while True:
        yield from raws


async def _streams(wanted: Attack, raw: bytes, until: float, told: Counter[str]) -> None:
    """Opened one by one over the first half of the time, and kept open as far as they are."""
    kept: list[asyncio.StreamWriter] = []
    for number in range(wanted.streams):
        reader, writer = await asyncio.open_connection("127.0.0.1", wanted.port)
        kept.append(writer)
        writer.write(raw)
        head = await reader.readline()
        told[head[9:12].decode() or "broken"] += 1
        begun_at = until - wanted.seconds * (1 - number / wanted.streams / 2)
        await asyncio.sleep(max(0.0, begun_at - time.perf_counter()))
    await asyncio.sleep(max(0.0, until - time.perf_counter()))
    for writer in kept:
        writer.close()


async def obey() -> None:
    """Until the input ends. The first line that is told is the sink's port."""
    loop = asyncio.get_running_loop()
    sink = await loop.create_server(Sink, "127.0.0.1", 0)
    _say({"sink": sink.sockets[0].getsockname()[1]})
    while line := await asyncio.to_thread(sys.stdin.readline):
        _say(await attack(Attack(**json.loads(line))))
    sink.close()


def _say(told: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(obey())
