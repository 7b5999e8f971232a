"""Signals between processes: the same behaviour over Redis and over PostgreSQL, and what is lost when a line is."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from urllib.parse import urlsplit

import pytest

from chargehand.store import bus as bus_module
from chargehand.store.bus import AGENTS, CANCEL, CHANGED, MAX_PENDING, Bus
from chargehand.store.exchange import Exchange, Line, LineLost, hints_message, read_message
from chargehand.store.postgresql_bus import PostgresqlExchange
from chargehand.store.redis_bus import RedisExchange
from chargehand.store.server_url import server_url
from chargehand.store.signals import Signals
from chargehand.telemetry.metrics import Metrics
from tests.cut import Cut

LIMIT_SECONDS = 20.0
LATENCY_SECONDS = 0.2

Make = Callable[..., Exchange]


def _over_redis(url: str, port: int | None = None) -> Exchange:
    return RedisExchange(through(url, port))


def _over_postgresql(url: str, port: int | None = None) -> Exchange:
    return PostgresqlExchange(server_url(through(url, port)))


def through(url: str, port: int | None) -> str:
    place = urlsplit(url)
    if port is None:
        return url
    user = place.netloc.rpartition("@")[0]
    return place._replace(netloc=f"{user}@127.0.0.1:{port}" if user else f"127.0.0.1:{port}").geturl()


@pytest.fixture(params=["redis", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def url(kind: str, request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(f"{kind}_url")


@pytest.fixture
def exchange(kind: str, url: str) -> Make:
    return partial(_over_redis if kind == "redis" else _over_postgresql, url)


@asynccontextmanager
async def connected(*buses: Bus) -> AsyncGenerator[None, None]:
    """They run, and each has heard of each."""
    async with AsyncExitStack() as stack, asyncio.timeout(LIMIT_SECONDS):
        for bus in buses:
            await stack.enter_async_context(bus.running())
        await until(lambda: all(bus.is_connected for bus in buses))
        for bus in buses:
            bus.publish("hello", bus.process)
        await until(lambda: all(bus.processes >= len(buses) for bus in buses))
        yield


async def until(holds: Callable[[], bool]) -> None:
    """The bus has no event for what is asked here."""
    async with asyncio.timeout(LIMIT_SECONDS):
        while not holds():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.005)


class Heard:
    """What a subscriber was told."""

    def __init__(self, bus: Bus, topic: str) -> None:
        self.payloads: list[str] = []
        self._came = asyncio.Event()
        bus.hear(topic, self._take)

    def _take(self, payload: str) -> None:
        self.payloads.append(payload)
        self._came.set()

    async def has(self, *payloads: str) -> None:
        async with asyncio.timeout(LIMIT_SECONDS):
            while not set(payloads) <= set(self.payloads):
                self._came.clear()
                await self._came.wait()


async def test_a_hint_reaches_every_process_once_and_the_own_one_at_once(exchange: Make) -> None:
    here, there, third = Bus(exchange()), Bus(exchange()), Bus(exchange())
    mine, theirs, thirds = (Heard(bus, CANCEL) for bus in (here, there, third))
    async with connected(here, there, third):
        here.publish(CANCEL, "task-1")
        assert mine.payloads == ["task-1"]
        await theirs.has("task-1")
        await thirds.has("task-1")
        there.publish(CANCEL, "task-2")
        await mine.has("task-2")

    assert mine.payloads == ["task-1", "task-2"]
    assert theirs.payloads == ["task-1", "task-2"]


async def test_a_waiter_in_another_process_is_woken_within_200_ms(exchange: Make) -> None:
    here, there = Signals(Bus(exchange())), Signals(Bus(exchange()))
    loop = asyncio.get_running_loop()
    took: list[float] = []
    async with connected(here.bus, there.bus):
        with there.listen("task-1") as heard:
            for _ in range(20):
                began = loop.time()
                here.notify("task-1")
                async with asyncio.timeout(LIMIT_SECONDS):
                    await heard.wait()
                took.append(loop.time() - began)
                heard.clear()

    assert sorted(took)[len(took) // 2] < LATENCY_SECONDS


async def test_many_hints_of_a_moment_are_few_messages_and_none_is_lost_in_the_packing(
    exchange: Make,
) -> None:
    metrics = Metrics()
    here, there = Bus(exchange(), metrics), Bus(exchange())
    heard = Heard(there, CHANGED)
    ids = [f"0193{number:04}-0000-7000-8000-000000000000" for number in range(1000)]
    async with connected(here, there):
        for _ in range(3):
            for one in ids:
                here.publish(CHANGED, one)
        await heard.has(*ids)

    assert len(heard.payloads) == len(ids)
    sent = sum(count for labels, count in metrics.bus_messages.values.items() if labels[1] == "sent")
    assert sent <= 12


async def test_texts_of_any_script_fit_their_messages(exchange: Make) -> None:
    here, there = Bus(exchange()), Bus(exchange())
    heard = Heard(there, AGENTS)
    texts = [f"{character * 500}{number}" for character in '\u00e4\U0001f600"\\\x01a' for number in range(20)]
    async with connected(here, there):
        for one in texts:
            here.publish(AGENTS, one)
        await heard.has(*texts)

    assert sorted(heard.payloads) == sorted(texts)


async def test_what_was_told_at_the_very_end_is_still_sent(exchange: Make) -> None:
    here, there = Bus(exchange()), Bus(exchange())
    heard = Heard(there, CANCEL)
    async with connected(there):
        async with connected(here):
            here.publish(CANCEL, "last")
        await heard.has("last")


async def test_a_line_that_is_cut_is_made_anew_and_what_was_told_meanwhile_comes_then(
    exchange: Make, url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_module, "MOST_PAUSE_SECONDS", 0.1)
    metrics = Metrics()
    async with Cut.before(url) as cut:
        here, there = Signals(Bus(exchange(cut.port), metrics)), Bus(exchange())
        theirs = Heard(there, CANCEL)
        async with connected(here.bus, there):
            with here.listen("task-1") as heard:
                await cut.down()
                await until(lambda: not here.bus.is_connected)
                here.bus.publish(CANCEL, "meanwhile")
                there.publish(CHANGED, "task-1")
                await until(lambda: metrics.bus_messages.values.get((_name(here.bus), "retry"), 0) >= 3)
                assert not heard.is_set()

                await cut.up()
                async with asyncio.timeout(LIMIT_SECONDS):
                    await heard.wait()
                await theirs.has("meanwhile")

    assert metrics.bus_messages.values[_name(here.bus), "outage"] == 1
    assert [record for record in caplog.messages if "signals between processes are out" in record][1:] == []


def _name(bus: Bus) -> str:
    return "redis" if bus.carries_said else "postgresql"


async def test_a_line_that_only_swallows_is_given_up(
    exchange: Make, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("BEAT_SECONDS", 0.1), ("SILENCE_SECONDS", 0.5), ("SEND_SECONDS", 0.5)):
        monkeypatch.setattr(bus_module, name, seconds)
    async with Cut.before(url) as cut:
        here = Bus(exchange(cut.port))
        async with here.running():
            await until(lambda: here.is_connected)
            cut.swallow()
            await until(lambda: not here.is_connected)


async def test_a_server_that_is_not_there_costs_its_callers_nothing_and_keeps_no_more_than_a_bound(
    exchange: Make,
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        metrics = Metrics()
        here = Bus(exchange(unused.getsockname()[1]), metrics)
        mine = Heard(here, CHANGED)
        async with here.running():
            for number in range(MAX_PENDING + 7):
                here.publish(CHANGED, str(number))

    assert len(mine.payloads) == MAX_PENDING + 7
    assert metrics.bus_messages.values[_name(here), "lost"] == 7


async def test_what_a_model_says_travels_over_redis_to_those_alone_that_watch(redis_url: str) -> None:
    here, there, third = (Signals(Bus(RedisExchange(redis_url))) for _ in range(3))
    async with connected(here.bus, there.bus, third.bus):
        assert not here.is_watched("task-1")
        with there.listen("task-1", takes_said=True) as heard, third.listen("task-1") as unheard:
            await until(lambda: here.is_watched("task-1"))
            here.say("task-1", {"path": "1", "text": "hel"})
            here.say("task-1", {"path": "1", "text": "lo"})
            said: list[object] = []
            async with asyncio.timeout(LIMIT_SECONDS):
                while len(said) < 2:
                    await heard.wait()
                    heard.clear()
                    said += heard.said()

        assert said == [{"path": "1", "text": "hel"}, {"path": "1", "text": "lo"}]
        assert not unheard.is_set()
        assert not here.is_watched("task-2")


async def test_over_postgresql_what_a_model_says_stays_in_its_process(postgresql_url: str) -> None:
    here, there = (Signals(Bus(PostgresqlExchange(server_url(postgresql_url)))) for _ in range(2))
    arrived = Heard(here.bus, CHANGED)
    async with connected(here.bus, there.bus):
        with there.listen("task-1", takes_said=True) as heard:
            there.notify("after it")
            await arrived.has("after it")
            assert not here.is_watched("task-1")
            here.say("task-1", {"text": "hello"})
            assert not heard.is_set()


async def test_installations_on_two_databases_of_one_redis_do_not_hear_each_other(redis_url: str) -> None:
    other_url = urlsplit(redis_url)._replace(path="/1" if not redis_url.endswith("/1") else "/2").geturl()
    here, other, same = (
        Bus(RedisExchange(redis_url)),
        Bus(RedisExchange(other_url)),
        Bus(RedisExchange(redis_url)),
    )
    unheard, heard = Heard(other, CANCEL), Heard(same, CANCEL)
    async with connected(here, same), connected(other):
        here.publish(CANCEL, "task-1")
        await heard.has("task-1")

    assert unheard.payloads == []


class _Torn(Line):
    """Takes a message for ever; the side that hears finds meanwhile that the line is gone."""

    most_bytes = 1_000

    def __init__(self) -> None:
        self._is_sending = asyncio.Event()

    async def send(self, text: bytes) -> None:
        self._is_sending.set()
        await asyncio.Event().wait()

    async def heard(self) -> AsyncGenerator[bytes, None]:
        await self._is_sending.wait()
        raise LineLost("the server closed the connection")
        yield b""


class _Mended(Line):
    most_bytes = 1_000

    def __init__(self) -> None:
        self.sent: asyncio.Queue[bytes] = asyncio.Queue()

    async def send(self, text: bytes) -> None:
        self.sent.put_nowait(text)

    async def heard(self) -> AsyncGenerator[bytes, None]:
        await asyncio.Event().wait()
        yield b""


class _Given(Exchange):
    name = "given"
    carries_said = False

    def __init__(self, *lines: Line) -> None:
        self._lines = iter(lines)

    @asynccontextmanager
    async def line(self, process: str) -> AsyncGenerator[Line, None]:
        yield next(self._lines)


async def test_hints_of_a_message_that_was_cut_off_by_the_end_of_its_line_are_sent_over_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bus_module, "FIRST_PAUSE_SECONDS", 0.0)
    mended = _Mended()
    bus = Bus(_Given(_Torn(), mended))

    async with bus.running():
        bus.publish(CANCEL, "task-1")
        async with asyncio.timeout(LIMIT_SECONDS):
            message = read_message(await mended.sent.get())

    assert message is not None
    assert message.hints == [(CANCEL, "task-1")]


async def test_without_an_exchange_hints_stay_in_the_process() -> None:
    bus = Bus()
    heard = Heard(bus, CANCEL)
    async with bus.running():
        bus.publish(CANCEL, "task-1")

    assert (heard.payloads, bus.is_connected, bus.processes) == (["task-1"], False, 1)


async def test_a_subscription_ends_with_its_block_and_one_that_fails_harms_no_other() -> None:
    bus, told = Bus(), list[str]()

    def fail(payload: str) -> None:
        raise RuntimeError(payload)

    bus.hear(CANCEL, fail)
    with bus.subscribe(CANCEL, told.append):
        bus.publish(CANCEL, "one")
    bus.publish(CANCEL, "two")

    assert told == ["one"]


async def test_a_hint_that_is_too_long_is_refused(exchange: Make) -> None:
    bus = Bus(exchange())
    async with bus.running():
        with pytest.raises(ValueError, match="512 characters"):
            bus.publish(AGENTS, "x" * 513)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xff",
        b"[]",
        b"null",
        b"12",
        b'{"from": 1}',
        b'{"told": {}}',
        b'{"from": null, "told": []}',
        b"{" * 9000,
    ],
)
def test_a_message_that_no_process_wrote_is_none(text: bytes) -> None:
    assert read_message(text) is None


def test_of_a_message_that_is_right_in_part_the_right_part_is_taken() -> None:
    message = read_message(
        b'{"from": "a", "told": {"x": ["1", 2, null, "3"], "y": "z"}, "topic": "t", "said": 1}'
    )

    assert message is not None
    assert (message.hints, message.said) == ([("x", "1"), ("x", "3")], None)


def test_a_message_is_as_long_as_it_may_be_and_no_longer() -> None:
    pending = [(CHANGED, f"0193{number:04}-0000-7000-8000-000000000000") for number in range(500)]

    taken, text = hints_message("0123456789abcdef", pending, 7_900)

    assert 7_500 < len(text) <= 7_900
    message = read_message(text)
    assert message is not None
    assert message.hints == taken == pending[: len(taken)]
