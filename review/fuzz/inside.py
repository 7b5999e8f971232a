"""The mass of the requests: straight into the application, as its server would hand them over, without sockets."""

import asyncio
import gc
import json
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import unquote

from fastapi import FastAPI
from starlette.types import Message

from review.fuzz.answers import Answer, faults
from review.fuzz.operations import Operation, Reached
from review.fuzz.requests import Request, Requests
from review.fuzz.schemas import Fitting

HOST = "127.0.0.1:8700"
HUNG_SECONDS = 20.0
STALL_SECONDS = 0.05
"""Longer than this no request may keep the loop, in time of its processor."""
MANY = 20_000
"""After so many requests each operation has given a good answer, but for these."""
HARD_TO_REACH = frozenset(
    {
        # A session comes with a cookie; tests/api/test_session.py has one.
        "GET /session",
        "DELETE /session",
        # The agent under test asks nobody, and delivers nothing.
        "GET /approvals/{approval_id}",
        "POST /approvals/{approval_id}",
        "POST /tasks/{task_id}/answers",
        "GET /tasks/{task_id}/deliverables/{name}",
        "GET /tasks/{task_id}/deliverables/{name}/files/{path}",
        # Its tasks are over at once.
        "POST /tasks/{task_id}/messages",
        # Two ids must belong together; schemathesis follows the links.
        "GET /agents/{agent_id}/versions/{version}",
        "GET /webhooks/{webhook_id}/deliveries/{delivery_id}",
        "POST /webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver",
        # No MCP server is set up.
        "POST /mcp/tools/{server}/{tool}/approve",
    }
)
_CHUNK = 65_536
_MOST_TOLD = 40


@dataclass(slots=True)
class Findings:
    """What was sent and what came of it."""

    cases: int = 0
    statuses: Counter[int] = field(default_factory=Counter[int])
    reached: Counter[str] = field(default_factory=Counter[str])
    """Good answers by operation: one that is never reached is hardly tested."""
    failures: dict[str, str] = field(default_factory=dict[str, str])
    """Each fault once, with the first request that had it."""
    operations: frozenset[str] = frozenset()
    longest_turn_seconds: float = 0.0
    slowest: str = ""
    seconds: float = 0.0

    def fail(self, what: str, request: object) -> None:
        """Note a fault; the first forty different ones are told."""
        if len(self.failures) < _MOST_TOLD:
            self.failures.setdefault(what, str(request)[:1500])


async def fuzz_inside(
    app: FastAPI, key: str, *, cases: int, seed: int, progress: Callable[[Findings], object] = lambda _: None
) -> Findings:
    """So many requests, one after the other."""
    reached = Reached(app)
    requests = Requests(reached.operations, Fitting(reached.document), key, HOST, seed)
    findings = Findings(operations=frozenset(map(str, reached.operations)))
    watch = _Watch()
    started = time.monotonic()
    with watch.at_work():
        while findings.cases < cases:
            operation, request = requests.next()
            watch.begin()
            answer = await _answered(app, request, findings)
            # The loop turns here, so that what one request took is not counted with the next.
            await asyncio.sleep(0)
            _note_turn(findings, watch, operation, request)
            if answer is not None:
                _judge(findings, reached, requests, request, answer)
            findings.cases += 1
            if findings.cases % 5_000 == 0:
                findings.seconds = time.monotonic() - started
                progress(findings)
    findings.seconds = time.monotonic() - started
    return findings


class _Watch:
    """How long the loop was kept, by the time that its thread had a processor, on a machine that is left alone.

    Where others share the processor's caches the same work takes longer; how much, a fixed piece of work tells.
    """

    def __init__(self) -> None:
        self._pace = min(_pace() for _ in range(50))
        self._last = time.thread_time()
        self._longest = 0.0
        self._collected = self._collecting_since = 0.0

    @contextmanager
    def at_work(self) -> Generator[None]:
        """Look at every turn of the loop, and hear of every collection of garbage."""
        beating = asyncio.ensure_future(self._beat())
        gc.callbacks.append(self._heard)
        try:
            yield
        finally:
            gc.callbacks.remove(self._heard)
            beating.cancel()

    def _heard(self, phase: str, told: dict[str, int]) -> None:
        del told
        if phase == "start":
            self._collecting_since = time.thread_time()
        else:
            self._collected += time.thread_time() - self._collecting_since

    async def _beat(self) -> None:
        while True:
            self._turn()
            await asyncio.sleep(0)

    def _turn(self) -> None:
        now = time.thread_time()
        self._longest = max(self._longest, now - self._last)
        self._last = now

    def begin(self) -> None:
        self._last, self._longest, self._collected = time.thread_time(), 0.0, 0.0

    @property
    def collected(self) -> float:
        """What of this request's time went to the collector of garbage."""
        return self._collected

    def longest(self) -> float:
        self._turn()
        if self._longest <= STALL_SECONDS:
            return self._longest
        return self._longest * min(1.0, self._pace / sorted(_pace() for _ in range(5))[2])


def _pace() -> float:
    started = time.thread_time()
    json.dumps(json.loads("[" + ",".join(str(number) for number in range(2_000)) + "]"))
    return time.thread_time() - started


def _note_turn(findings: Findings, watch: _Watch, operation: Operation, request: Request) -> None:
    longest = watch.longest()
    if longest > STALL_SECONDS:
        what = f"{operation} kept the loop for {longest * 1000:.0f} ms"
        findings.fail(f"{what}, {watch.collected * 1000:.0f} of them to collect garbage", _told(request))
    if longest > findings.longest_turn_seconds:
        findings.longest_turn_seconds, findings.slowest = longest, _told(request)


async def _answered(app: FastAPI, request: Request, findings: Findings) -> Answer | None:
    try:
        async with asyncio.timeout(HUNG_SECONDS):
            return await _call(app, request)
    except TimeoutError:
        findings.fail(f"{request.method} hung for {HUNG_SECONDS:g} s", _told(request))
    except Exception as error:  # noqa: BLE001 - whatever the application lets out is what is looked for
        findings.fail(f"raised {type(error).__name__}: {error}", _told(request))
    return None


async def _call(app: FastAPI, request: Request) -> Answer:
    path, _, query = request.target.partition(b"?")
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        # As uvicorn does it.
        "path": unquote(path.decode("latin-1")),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": list(request.headers),
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8700),
        "state": {},
    }
    chunks = [request.body[at : at + _CHUNK] for at in range(0, len(request.body), _CHUNK)] or [b""]
    answer = Answer()

    async def receive() -> Message:
        if not chunks:
            # The client leaves: streams end, and nothing else may mind.
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunks.pop(0), "more_body": bool(chunks)}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = {name.lower(): value for name, value in message["headers"]}
        elif message["type"] == "http.response.body":
            answer.body += message.get("body", b"")

    await app(scope, receive, send)
    return answer


def _judge(
    findings: Findings, reached: Reached, requests: Requests, request: Request, answer: Answer
) -> None:
    findings.statuses[answer.status] += 1
    path = unquote(request.target.partition(b"?")[0].decode("latin-1"))
    operation = reached.by(request.method, path)
    if answer.status == 0:
        findings.fail(f"{operation}: no answer", _told(request))
        return
    for fault in faults(request.method, operation, answer):
        findings.fail(f"{operation}: {fault}", _told(request))
    if operation is not None and answer.status < 300:
        findings.reached[str(operation)] += 1
        _learn(requests, operation, answer)


def _learn(requests: Requests, operation: Operation, answer: Answer) -> None:
    """Ids of what is there, so that requests also reach what needs one."""
    if answer.media_type != "application/json" or len(answer.body) > 200_000:
        return
    told: Any = json.loads(answer.body)
    noun = operation.template.strip("/").split("/")
    names = {"agents": "agent_id", "tasks": "task_id", "deliveries": "delivery_id"}
    items = cast("list[Any]", told["items"][:3] if isinstance(told, dict) and "items" in told else [told])
    for item in items:
        if isinstance(item, dict):
            found = cast("dict[str, Any]", item)
            kind = names.get(noun[-1] if len(noun) != 2 else noun[0], f"{noun[0].rstrip('s')}_id")
            for name in (kind, "task_id", "approval_id", "version", "name", "cursor"):
                value = found.get(name) or (found.get("id") if name == kind else None)
                if isinstance(value, str):
                    requests.known.learn(name, value)


def _told(request: Request) -> str:
    body = (
        request.body if len(request.body) <= 400 else request.body[:400] + b" and %d more" % len(request.body)
    )
    headers = [(name, value) for name, value in request.headers if name not in (b"host", b"authorization")]
    return f"{request.method} {request.target!r} {headers!r} {body!r}"
