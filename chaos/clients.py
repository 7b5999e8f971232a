"""What clients do and see: submit with keys, follow by streams that move between processes, wait, answer, cancel.

Rule: a client believes only what it was told over HTTP, and writes down all of it; chaos/checker.py compares.
"""

import asyncio
import json
import random
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx2

PATIENCE_SECONDS = 15.0
"""How long an answer may take; a process that was stopped gives none."""
STREAM_SECONDS = 4.0
"""How long a client stays with one process, before it moves on to another."""
PAUSE_SECONDS = 0.6
"""Before the next try after a failure, on average: the harness shares the machine with what it tests."""
END = ("task.completed", "task.failed", "task.canceled")


@dataclass(slots=True, eq=False)
class Seen:
    """One task as its client saw it."""

    key: str
    agent_id: str
    depth: int
    number: int
    task_id: str = ""
    """Empty until it was accepted."""
    accepted_at: float = 0.0
    conflicting_ids: list[str] = field(default_factory=list[str])
    """Other ids that the same key was answered with: none is right."""
    sequences: list[int] = field(default_factory=list[int])
    """The ids of the events in the order in which they came, over all streams."""
    ends: list[str] = field(default_factory=list[str])
    """The kinds of the events that ended the task."""
    streams: int = 0
    moves: int = 0
    ended_at: float = 0.0


@dataclass(slots=True, eq=False)
class Load:
    """Clients at work. `run` returns when `enough` is set and every task that was accepted has been seen to end."""

    ports: Sequence[int]
    key: str
    clients: int
    chance: random.Random
    agents: Sequence[str]
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    seen: list[Seen] = field(default_factory=list[Seen])
    answers: dict[str, int] = field(default_factory=dict[str, int])
    """How often which status, or which failure of the connection."""
    _http: httpx2.AsyncClient | None = None

    async def run(self) -> None:
        headers = {"Authorization": f"Bearer {self.key}"}
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
        http = httpx2.AsyncClient(headers=headers, timeout=PATIENCE_SECONDS, limits=limits, trust_env=False)
        async with http as self._http, asyncio.TaskGroup() as group:
            for number in range(self.clients):
                group.create_task(self._client(number, random.Random(self.chance.random())))

    async def _client(self, number: int, chance: random.Random) -> None:
        count = 0
        while not self.enough.is_set():
            count += 1
            seen = Seen(
                key=f"chaos-{number}-{count}",
                agent_id=chance.choice(self.agents),
                depth=chance.choice((0, 0, 1, 2)),
                number=count,
            )
            self.seen.append(seen)
            await self._submit(seen, chance)
            if seen.task_id:
                await self._follow(seen, chance)

    async def _submit(self, seen: Seen, chance: random.Random) -> None:
        """Send it until it is accepted; now and then once more, which must change nothing."""
        body = {
            "task_data": {"number": seen.number, "depth": seen.depth},
            "priority": chance.choice((0, 0, 0, 1)),
        }
        repeats = chance.random() < 0.2
        while not seen.task_id:
            # A submission whose answer was lost is repeated also when the load is to end: it may have been accepted.
            await self._send_once(seen, body, chance)
        if repeats:
            await self._send_once(seen, body, chance)

    async def _send_once(self, seen: Seen, body: Mapping[str, object], chance: random.Random) -> None:
        path = f"/agents/{seen.agent_id}/tasks"
        response = await self._call("POST", path, chance, json=body, headers={"Idempotency-Key": seen.key})
        if response is None or response.status_code not in (200, 201, 202):
            await _pause(chance)
            return
        task_id = str(response.json()["id"])
        if not seen.task_id:
            seen.task_id, seen.accepted_at = task_id, time.time()
        elif task_id != seen.task_id:
            seen.conflicting_ids.append(task_id)

    async def _follow(self, seen: Seen, chance: random.Random) -> None:
        """Read the events, moving between the processes, until the task has ended."""
        if seen.agent_id == "held":
            await asyncio.sleep(chance.random())
            await self._until_done("POST", f"/tasks/{seen.task_id}/cancel", chance)
        while not seen.ends:
            seen.streams += 1
            asked: str | None = None
            try:
                async with asyncio.timeout(STREAM_SECONDS):
                    asked = await self._watch(seen, chance)
            except TimeoutError:
                seen.moves += 1
            except httpx2.TransportError as error:
                self._count(type(error).__name__)
                await _pause(chance)
            if asked is not None:
                # Beyond the time of the stream: an answer that is under way must not be given up.
                answer = {"question": asked, "answer": "yes"}
                await self._until_done("POST", f"/tasks/{seen.task_id}/answers", chance, json=answer)
        seen.ended_at = time.time()

    async def _watch(self, seen: Seen, chance: random.Random) -> str | None:
        """Read one stream to its end, or to a question: its path."""
        async with aclosing(self._events(seen, chance)) as events:
            async for kind, data in events:
                if kind == "question.asked":
                    return str(data["data"]["path"])
        return None

    async def _events(
        self, seen: Seen, chance: random.Random
    ) -> AsyncGenerator[tuple[str, dict[str, Any]], None]:
        """One stream, from after the last event seen; whatever comes is written down as it came."""
        if self._http is None:
            return
        last = seen.sequences[-1] if seen.sequences else 0
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(last)}
        url = f"http://127.0.0.1:{chance.choice(self.ports)}/tasks/{seen.task_id}/events"
        async with self._http.stream("GET", url, headers=headers) as response:
            self._count(str(response.status_code))
            if response.status_code != 200:
                await _pause(chance)
                return
            fields: dict[str, str] = {}
            async for line in response.aiter_lines():
                name, _, value = line.partition(":")
                if name:
                    fields[name] = value.strip()
                    continue
                if not line and fields.get("id"):
                    seen.sequences.append(int(fields["id"]))
                    if fields["event"] in END:
                        seen.ends.append(fields["event"])
                    yield fields["event"], json.loads(fields["data"])
                fields = {}

    async def _until_done(self, method: str, path: str, chance: random.Random, **sent: Any) -> None:
        """Send it until the service has said something about it: done, or refused because it is done already."""
        while True:
            response = await self._call(method, path, chance, **sent)
            if response is not None and response.status_code < 500 and response.status_code != 429:
                return
            await _pause(chance)

    async def _call(
        self, method: str, path: str, chance: random.Random, **sent: Any
    ) -> httpx2.Response | None:
        """One request to one of the processes; None when no answer came."""
        if self._http is None:
            return None
        url = f"http://127.0.0.1:{chance.choice(self.ports)}{path}"
        response = None
        with suppress(TimeoutError):
            try:
                async with asyncio.timeout(PATIENCE_SECONDS):
                    response = await self._http.request(method, url, **sent)
            except httpx2.TransportError as error:
                self._count(type(error).__name__)
        if response is not None:
            self._count(str(response.status_code))
        return response

    def _count(self, what: str) -> None:
        self.answers[what] = self.answers.get(what, 0) + 1


async def _pause(chance: random.Random) -> None:
    """Not in step with the other clients."""
    await asyncio.sleep(PAUSE_SECONDS * (0.5 + chance.random()))
