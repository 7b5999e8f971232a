"""Whoever asks more often than they may comes after the others, in order, one in a turn, and never waits long."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import cast

import httpx2
import pytest
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from chargehand.serve import low_priority
from chargehand.serve.edge import Edge
from chargehand.serve.low_priority import MOST_REMEMBERED, MOST_WAITING, WAIT_SECONDS, Asked, LowPriority
from chargehand.serve.secure_headers import SecureHeaders
from chargehand.telemetry.metrics import Metrics
from tests import given
from tests.loop_turns import LoopTurns

GREEDY, OTHER = b"Bearer greedy", b"Bearer other"


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also on a machine that halts now and then, what is to wait waits."""
    monkeypatch.setattr(low_priority, "WAIT_SECONDS", 600.0)
    monkeypatch.setattr(low_priority, "REMEMBERED_SECONDS", 600.0)


async def refuse(line: LowPriority, key: bytes = b"") -> None:
    asked = await line.begin(key)
    line.end(asked)
    await line.refused(asked)


async def begun(*waiting: Awaitable[object]) -> Sequence[asyncio.Future[object]]:
    """Each as far as it comes before the next turn of the loop."""
    futures = [asyncio.ensure_future(one) for one in waiting]
    await asyncio.sleep(0)
    return futures


async def test_who_was_not_refused_waits_for_nobody() -> None:
    line = LowPriority()
    await refuse(line, GREEDY)
    for _ in range(3):
        [other] = await begun(line.begin(OTHER))
        [nameless] = await begun(line.begin(b""))
        assert other.done()
        assert nameless.done()


async def test_who_was_refused_waits_until_nobody_else_is_being_answered() -> None:
    line = LowPriority()
    await refuse(line, GREEDY)
    first, second = await line.begin(OTHER), await line.begin(OTHER)
    [greedy] = await begun(line.begin(GREEDY))

    line.end(first)
    await asyncio.sleep(0)
    assert not greedy.done()

    line.end(second)
    line.end(second)
    turns = LoopTurns()
    await greedy
    turns.stop()
    assert turns.count <= 3


async def test_alone_nobody_waits() -> None:
    line = LowPriority()
    for _ in range(3):
        [refusal] = await begun(refuse(line, GREEDY))
        assert refusal.done()
        await asyncio.sleep(0)


async def test_a_refusal_that_nobody_foresaw_waits_too_and_only_once() -> None:
    line = LowPriority()
    being_answered = await line.begin(OTHER)
    [refusal] = await begun(refuse(line, GREEDY))
    assert not refusal.done()
    line.end(being_answered)
    await refusal

    foreseen = await line.begin(GREEDY)
    line.end(foreseen)
    being_answered = await line.begin(OTHER)
    [refusal] = await begun(line.refused(foreseen))
    assert refusal.done()


async def test_each_turn_lets_one_go_on_in_the_order_in_which_they_came() -> None:
    line, turns = LowPriority(), LoopTurns()
    went: list[tuple[int, int]] = []

    async def go(number: int) -> None:
        await refuse(line)
        went.append((turns.count, number))

    await asyncio.gather(*(go(number) for number in range(10)))
    turns.stop()

    assert [number for _, number in went] == list(range(10))
    taken = [turn for turn, _ in went][1:]  # the first goes on at once
    assert taken == list(range(taken[0], taken[0] + 9))


async def test_nobody_waits_longer_than_a_while_for_an_answer_that_takes_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(low_priority, "WAIT_SECONDS", WAIT_SECONDS)
    line = LowPriority()
    await refuse(line, GREEDY)
    await asyncio.sleep(0)  # nothing is left to be done that would see to the line
    long_poll = await line.begin(OTHER)
    began = asyncio.get_running_loop().time()

    async with asyncio.timeout(given.LIMIT_SECONDS):
        greedy = await line.begin(GREEDY)
    assert asyncio.get_running_loop().time() - began >= WAIT_SECONDS * 0.9

    # From here on the long one is waited for by nobody.
    line.end(greedy)
    [again] = await begun(line.begin(GREEDY))
    assert again.done()
    line.end(cast("Asked", again.result()))

    # Nor does it hide who comes after it.
    quick = await line.begin(OTHER)
    [after] = await begun(line.begin(GREEDY))
    assert not after.done()
    line.end(quick)
    await after
    line.end(long_poll)


async def test_while_others_are_always_being_answered_those_who_waited_go_on_one_in_a_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(low_priority, "WAIT_SECONDS", WAIT_SECONDS)
    line, turns = LowPriority(), LoopTurns()
    went: list[int] = []

    async def go() -> None:
        await refuse(line)
        went.append(turns.count)

    async def busy() -> None:
        while len(went) < 10:
            asked = await line.begin(OTHER)
            await asyncio.sleep(0.001)
            line.end(asked)
            # No turn in between: from the line's view somebody is always being answered.

    async with asyncio.timeout(given.LIMIT_SECONDS):
        await asyncio.gather(*(busy() for _ in range(3)), *(go() for _ in range(10)))
    turns.stop()
    assert len(set(went)) == 10


async def test_of_a_flood_so_many_wait_and_the_first_go_on() -> None:
    line = LowPriority()
    being_answered = await line.begin(OTHER)
    flood = await begun(*(refuse(line) for _ in range(1000)))
    await asyncio.sleep(0)

    assert sum(not one.done() for one in flood) == MOST_WAITING
    assert not any(one.done() for one in flood[-MOST_WAITING:])

    line.end(being_answered)
    async with asyncio.timeout(given.LIMIT_SECONDS):
        await asyncio.gather(*flood)


async def test_those_who_are_canceled_in_the_line_hold_up_nobody() -> None:
    line = LowPriority()
    being_answered = await line.begin(OTHER)
    first, *gone, last = await begun(*(refuse(line) for _ in range(10)))

    for one in gone:
        one.cancel()
    line.end(being_answered)
    await asyncio.gather(first, last)

    assert all(one.cancelled() for one in gone)
    await refuse(line)


async def test_a_refusal_is_forgotten_after_a_while_and_when_many_others_were_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    line = LowPriority()
    await refuse(line, GREEDY)
    await line.begin(OTHER)
    [greedy] = await begun(line.begin(GREEDY))
    assert not greedy.done()
    greedy.cancel()

    with monkeypatch.context() as patched:
        patched.setattr(low_priority, "REMEMBERED_SECONDS", 0.0)
        [greedy] = await begun(line.begin(GREEDY))
        assert greedy.done()

    line = LowPriority()
    for number in range(MOST_REMEMBERED):
        await refuse(line, GREEDY + b"%d" % number)
    await refuse(line, GREEDY + b"0")
    await refuse(line, GREEDY)
    await line.begin(OTHER)
    again, forgotten, last = await begun(*(line.begin(key) for key in (GREEDY + b"0", GREEDY + b"1", GREEDY)))
    assert (again.done(), forgotten.done(), last.done()) == (False, True, False)
    again.cancel()
    last.cancel()


async def test_a_client_over_its_rate_is_answered_after_whoever_came_meanwhile() -> None:
    """And nobody waits for one whose client has gone."""
    may_answer, order = asyncio.Event(), list[str]()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == "/slow":
            await may_answer.wait()
        if path == "/fails":
            raise RuntimeError
        if path == "/gone":
            raise ClientDisconnect
        order.append(path)
        await Response(status_code=429 if path == "/refused" else 200)(scope, receive, send)

    transport = httpx2.ASGITransport(Edge(app, (), Metrics(), SecureHeaders()), raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        greedy = {"Authorization": GREEDY.decode()}
        assert (await client.get("/refused", headers=greedy)).status_code == 429
        assert (await client.get("/fails")).status_code == 500
        with pytest.raises(AssertionError):  # what this client makes of no answer
            await client.get("/gone")
        order.clear()
        [slow] = await begun(client.get("/slow"))
        late = asyncio.create_task(client.get("/within-its-limits", headers=greedy))
        await client.get("/quick")
        may_answer.set()
        async with asyncio.timeout(given.LIMIT_SECONDS):
            answers = await asyncio.gather(slow, late)

    assert order == ["/quick", "/slow", "/within-its-limits"]
    assert [cast("httpx2.Response", one).status_code for one in answers] == [200, 200]
