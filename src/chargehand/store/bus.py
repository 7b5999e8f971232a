"""What processes tell each other: hints on topics, over Redis, over PostgreSQL, or not at all.

Rule: a hint carries no truth, and telling one costs its caller next to nothing. It is kept until one background task
sends what has gathered, in one message. The line may go at any time: it is made anew, what could not be sent
is sent then, and those who listen are told that they may have missed something.
"""

import asyncio
import random
import secrets
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress

import structlog

from chargehand.cancels import stop_if_canceled
from chargehand.domain.values import JsonObject
from chargehand.store.exchange import (
    Exchange,
    Hint,
    Line,
    LineLost,
    hints_message,
    read_message,
    said_message,
)
from chargehand.telemetry.metrics import Metrics

log = structlog.stdlib.get_logger("chargehand.bus")

BACK = "line:back"
"""Topic of this process alone: the line is there again, and hints were missed meanwhile."""
BEAT = "line:beat"
"""Topic of this process alone: a beat has passed."""
CHANGED = "changed"
"""Topic of the ids of tasks whose rows have changed."""
CANCEL = "engine:cancel"
"""Topic of the ids of tasks whose workers are to stop them."""
AGENTS = "agents"
"""Topic of agents that have another current version: tenant, a space, id."""
KEYS = "keys"
"""Topic of ids of keys that were revoked or given an end, and of tenants that were suspended or resumed."""
WEBHOOKS = "webhooks"
"""Topic without payloads: other endpoints, or they are told something else."""
WEBHOOKS_DUE = "webhooks:due"
"""Topic without payloads: something is to be sent."""
SESSIONS = "sessions"
"""Topic of sessions that were ended; which, nobody needs to be told."""
LIMITS = "limits"
"""Topic of tenants whose limits were changed."""

MAX_PAYLOAD_CHARACTERS = 512
MAX_PENDING = 5_000
"""Hints that are kept for a line that is away; those beyond are lost, and found when the rows are read again."""
MAX_SAID_PENDING = 200
MAX_SAID_BYTES = 64 * 1024
BEAT_SECONDS = 5.0
SILENCE_SECONDS = 15.0
"""A line over which not even our own beats come back is given up."""
SEND_SECONDS = 5.0
FIRST_PAUSE_SECONDS = 0.1
MOST_PAUSE_SECONDS = 5.0
STOP_SECONDS = 1.0


class Bus:
    """Topics, who hears them in this process, and the line to the others (without an exchange there is none)."""

    def __init__(self, exchange: Exchange | None = None, metrics: Metrics | None = None) -> None:
        self.process = secrets.token_hex(8)
        self._exchange = exchange
        self._metrics = metrics or Metrics()
        self._callbacks: defaultdict[str, list[Callable[[str], None]]] = defaultdict(list)
        self._pending: dict[Hint, None] = {}
        self._said: deque[tuple[str, bytes]] = deque(maxlen=MAX_SAID_PENDING)
        self._wanted = asyncio.Event()
        self._all_sent = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._is_out = False
        self._others: dict[str, float] = {}
        self.is_connected = False
        self.on_said: Callable[[str, JsonObject], None] | None = None
        """Who is told what another process says to this one."""

    @property
    def is_expected(self) -> bool:
        """Whether there is a way between processes at all; without one waiters look into the rows."""
        return self._exchange is not None

    @property
    def carries_said(self) -> bool:
        """Whether what models are saying reaches other processes."""
        return self._exchange is not None and self._exchange.carries_said

    @property
    def processes(self) -> int:
        """How many have been heard of lately, this one among them."""
        now = _now()
        self._others = {one: at for one, at in self._others.items() if now - at < SILENCE_SECONDS}
        return 1 + len(self._others)

    def publish(self, topic: str, payload: str) -> None:
        """Tell those who subscribe to the topic: here at once, elsewhere soon, perhaps never."""
        self._dispatch(topic, payload)
        if self._running is None:
            return
        if len(payload) > MAX_PAYLOAD_CHARACTERS:
            raise ValueError(f"a hint is {MAX_PAYLOAD_CHARACTERS} characters at most")
        if len(self._pending) < MAX_PENDING:
            self._pending[topic, payload] = None
            self._wanted.set()
        else:
            self._count("lost")

    def say(self, process: str, topic: str, told: JsonObject) -> None:
        """Tell one other process something that is in no row; too much or too large, it is dropped."""
        text = said_message(self.process, topic, told)
        if self.is_connected and len(text) <= MAX_SAID_BYTES:
            self._said.append((process, text))
            self._wanted.set()

    @contextmanager
    def subscribe(self, topic: str, callback: Callable[[str], None]) -> Generator[None, None, None]:
        """Call back with each payload of the topic, whichever process it is from, for as long as the block."""
        self.hear(topic, callback)
        try:
            yield
        finally:
            self._callbacks[topic].remove(callback)

    def hear(self, topic: str, callback: Callable[[str], None]) -> None:
        """As `subscribe`, for as long as the bus itself."""
        self._callbacks[topic].append(callback)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["Bus", None]:
        """Keep a line for as long as the block; what is pending at its end is still sent, if that is quick."""
        if self._exchange is None:
            yield self
            return
        self._running = asyncio.create_task(self._keep_line(self._exchange))
        try:
            yield self
        finally:
            await self._stop(self._running)
            self._running = None

    async def _stop(self, running: asyncio.Task[None]) -> None:
        if self.is_connected and (self._pending or self._said):
            self._all_sent.clear()
            self._wanted.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_SECONDS):
                    await self._all_sent.wait()
        running.cancel()
        await asyncio.wait([running])

    async def _keep_line(self, exchange: Exchange) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            began = _now()
            try:
                async with exchange.line(self.process) as line:
                    stop_if_canceled()  # lost by a driver that was connecting (seen with redis-py 8.1)
                    self._is_back()
                    await self._use(line)
            except LineLost as lost:
                self._is_gone(lost)
            finally:
                self.is_connected = False
            stop_if_canceled()
            if _now() - began > SILENCE_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - spreads those that lost one server
            pause = min(pause * 2, MOST_PAUSE_SECONDS)

    def _is_back(self) -> None:
        if self._is_out:
            log.info("signals between processes are back", bus=self._name)
        self._is_out, self.is_connected = False, True
        self._dispatch(BACK, "")

    def _is_gone(self, why: BaseException) -> None:
        self._count("outage" if not self._is_out else "retry")
        if not self._is_out:
            log.warning(
                "signals between processes are out; what waits is found by polling until they are back",
                bus=self._name,
                error=str(why),
            )
        self._is_out = True

    async def _use(self, line: Line) -> None:
        """Until the first of them fails. No TaskGroup: in Python 3.11 it leaves its task marked as canceled."""
        at_once = [asyncio.create_task(one) for one in (self._hear(line), self._send(line), self._beat())]
        try:
            ended, _ = await asyncio.wait(at_once, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in at_once:
                one.cancel()
            await asyncio.gather(*at_once, return_exceptions=True)
        for one in ended:
            one.result()

    async def _hear(self, line: Line) -> None:
        try:
            async with asyncio.timeout(SILENCE_SECONDS) as silence:
                async for text in line.heard():
                    stop_if_canceled()
                    self._take(text)
                    silence.reschedule(_now() + SILENCE_SECONDS)
        except TimeoutError:
            raise LineLost(f"nothing came for {SILENCE_SECONDS:.0f} s, not even our own") from None
        raise LineLost("the server closed the connection")

    async def _beat(self) -> None:
        while True:
            self._dispatch(BEAT, "")
            self._wanted.set()
            await asyncio.sleep(BEAT_SECONDS)

    async def _send(self, line: Line) -> None:
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            await self._send_pending(line)

    async def _send_pending(self, line: Line) -> None:
        """One message even when there is nothing to say: it shows that this process and its line are alive."""
        while True:
            taken, text = hints_message(self.process, self._pending, line.most_bytes)
            # Before it is sent: the same hint that comes meanwhile is about something newer.
            for hint in taken:
                del self._pending[hint]
            try:
                await self._within_time(line.send(text))
            except (LineLost, asyncio.CancelledError):
                # Canceled: the hearing side found first that the line is gone.
                self._pending = dict.fromkeys(taken) | self._pending
                raise
            self._count("sent")
            if not self._pending:
                break
        while self._said:
            process, said = self._said.popleft()
            await self._within_time(line.send_to(process, said))
            self._count("said")
        if not self._pending:
            self._all_sent.set()

    async def _within_time(self, sending: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await sending
        except TimeoutError:
            raise LineLost(f"a message was not taken within {SEND_SECONDS:.0f} s") from None
        stop_if_canceled()

    def _take(self, text: bytes) -> None:
        """A message of some process; our own shows only that the line is alive."""
        message = read_message(text)
        if message is None:
            self._count("unreadable")
            return
        if message.sender == self.process:
            return
        if len(self._others) < MAX_PENDING:
            self._others[message.sender] = _now()
        for topic, payload in message.hints:
            if topic not in (BACK, BEAT):
                self._dispatch(topic, payload)
        if message.said is not None and self.on_said is not None:
            self.on_said(*message.said)
        self._count("heard")

    def _dispatch(self, topic: str, payload: str) -> None:
        for callback in tuple(self._callbacks.get(topic, ())):
            try:
                callback(payload)
            except Exception:
                # One who fails at a hint must not end the hints of all.
                log.exception("a hint could not be followed", topic=topic)

    @property
    def _name(self) -> str:
        return self._exchange.name if self._exchange is not None else "none"

    def _count(self, what: str) -> None:
        self._metrics.bus_messages.add(self._name, what)


def _now() -> float:
    return asyncio.get_running_loop().time()
