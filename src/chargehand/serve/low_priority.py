"""Whoever asks more often than they may comes after the others.

A client far over its rate is refused thousands of times a second, and each refusal takes its share of the one event
loop in the middle of somebody else's request. Here a request waits whose `Authorization` was answered 429 within the
last second, and so does a 429 that nobody foresaw (the first one; that of a wrong key; that of a browser's session):
until no other request is being answered, or for WAIT_SECONDS; then one goes on in each turn of the loop. What is
within its limits by then is carried out as ever.
"""

import asyncio
from collections import deque
from dataclasses import dataclass

WAIT_SECONDS = 0.02
"""How long others come first, and how long one who is being answered is waited for."""
MOST_WAITING = 64
"""Of a flood that is quicker than it can be refused the first goes on then: a line without end would cost more than
it spares."""
REMEMBERED_SECONDS = 1.0
MOST_REMEMBERED = 1024


@dataclass(eq=False, slots=True)
class Asked:
    """A request, as this module sees it."""

    who: int
    """A hash of its `Authorization`; 0: it has none."""
    has_waited: bool = False


class LowPriority:
    """Who is being answered, and the line of those who come after them."""

    def __init__(self) -> None:
        self._answering: dict[Asked, float] = {}
        """Since when; the first has been here longest."""
        self._line: deque[tuple[float, asyncio.Future[None]]] = deque()
        """Each with the time at which it has waited long enough."""
        self._next: asyncio.Handle | None = None
        self._overdue: asyncio.TimerHandle | None = None
        self._refused: dict[int, float] = {}

    async def begin(self, authorization: bytes) -> Asked:
        """A request has come; returns when it is to be answered, which `end` ends."""
        asked = Asked(hash(authorization) if authorization else 0)
        refused_at = self._refused.get(asked.who)
        if refused_at is not None and _now() - refused_at < REMEMBERED_SECONDS:
            await self._wait(asked)
        self._answering[asked] = _now()
        return asked

    def end(self, asked: Asked) -> None:
        """Its answer begins; or there is none. To say it again does nothing."""
        if self._answering.pop(asked, None) is not None:
            self._go_on()

    async def refused(self, asked: Asked) -> None:
        """After its `end`: it is answered 429. Returns when that may be written."""
        if asked.who:
            # In again, so that the first is the one that was refused longest ago.
            self._refused.pop(asked.who, None)
            self._refused[asked.who] = _now()
            if len(self._refused) > MOST_REMEMBERED:
                del self._refused[next(iter(self._refused))]
        if not asked.has_waited:
            await self._wait(asked)

    async def _wait(self, asked: Asked) -> None:
        asked.has_waited = True
        if not self._line and not self._is_answering() and self._next is None:
            self._next = asyncio.get_running_loop().call_soon(self._let_the_next)
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append((_now() + WAIT_SECONDS, place))
        if len(self._line) > MOST_WAITING:
            self._let_the_first()
        self._go_on()
        await place

    def _go_on(self) -> None:
        """See to it that the line moves: in the next turn, or when its first has waited long enough."""
        if not self._line or self._next is not None:
            return
        loop = asyncio.get_running_loop()
        if not self._is_answering():
            self._next = loop.call_soon(self._let_the_next)
        elif self._overdue is None:
            self._overdue = loop.call_at(self._line[0][0], self._let_the_overdue)

    def _let_the_next(self) -> None:
        self._next = None
        if self._line and (not self._is_answering() or self._line[0][0] <= _now()):
            self._let_the_first()
        self._go_on()

    def _let_the_overdue(self) -> None:
        self._overdue = None
        if self._next is None:
            self._let_the_next()

    def _let_the_first(self) -> None:
        _, place = self._line.popleft()
        if not place.done():  # it is when its caller was canceled
            place.set_result(None)

    def _is_answering(self) -> bool:
        """Whether anybody is waited for; who takes longer than WAIT_SECONDS (a long poll does) is not any more."""
        long_ago = _now() - WAIT_SECONDS
        while self._answering:
            first = next(iter(self._answering))
            if self._answering[first] > long_ago:
                return True
            del self._answering[first]
        return False


def _now() -> float:
    return asyncio.get_running_loop().time()
