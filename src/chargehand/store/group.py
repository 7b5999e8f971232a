"""Group commit: callers that wait at the same moment share one transaction; and reads that share one likewise.

While one flush is being committed, the next group gathers; a lone caller waits for nobody. One caller's bad
item fails that caller only: a flush answers with a result or an exception per item, and when a flush itself
fails over what it was given, its items are carried one by one.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from chargehand.errors import StorageFull, Unavailable

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST = 128


class GroupCommit(Generic[Item, Result]):
    """Turns `flush(items)` into `one(item)`."""

    def __init__(self, flush: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]]) -> None:
        self._flush = flush
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._flushing: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Result:
        """Carry the item in the next flush; returns after its commit."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._flushing is None:
            # Held by the attribute until it ends; no exception escapes _run. In a context of its own: what it logs
            # belongs to many callers, not to the one that came first.
            self._flushing = asyncio.create_task(self._run(), context=Context())
        return await future

    async def drain(self) -> None:
        """Wait until nothing is gathered or in flight."""
        while self._flushing is not None:
            await asyncio.wait([self._flushing])

    async def _run(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                await self._carry(group)
        finally:
            self._flushing = None

    async def _carry(self, group: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._flush([item for item, _ in group])
        except (StorageFull, Unavailable) as error:
            results = [error] * len(group)
        except Exception as error:  # noqa: BLE001 - whatever it is, the waiting caller must hear of it
            if len(group) > 1:
                for one in group:
                    await self._carry([one])
                return
            results = [error]
        for (_, future), result in zip(group, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)


class SharedRead(Generic[Item, Result]):
    """Turns `read(items)` into `one(item)`: who comes alone is answered in the same turn of the event loop.

    A turn can be long where much is asked for at once, and a lone reader would wait for several of them. Who comes
    while another reads, or in the same turn, is read together with the others that do; and where several were read
    together, who comes next is taken for one of many.
    """

    def __init__(self, read: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]]) -> None:
        self._read = read
        self._together = GroupCommit[Item, Result](self._read_together)
        self._is_taken = False
        self._is_crowded = False

    async def __call__(self, item: Item) -> Result:
        """What was last committed of the item."""
        if self._is_taken or self._is_crowded:
            return await self._together(item)
        self._is_taken = True
        try:
            (result,) = await self._read([item])
        finally:
            asyncio.get_running_loop().call_soon(self._give_way)
        return result

    def _give_way(self) -> None:
        self._is_taken = False

    async def _read_together(self, items: Sequence[Item]) -> Sequence[Result]:
        self._is_crowded = len(items) > 1
        return await self._read(items)
