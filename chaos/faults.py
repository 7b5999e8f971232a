"""What is broken, and when: drawn from a seed, so that the same seed breaks the same things in the same order.

Rule: each draw takes the same numbers from the source of chance, whatever the installation does meanwhile; how far a
run gets in its time differs, what comes next does not.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from chaos.installation import Installation
from chaos.nodes import Node
from chaos.proxy import ChaosProxy

Thing = TypeVar("Thing")

ROLE_WEIGHTS: Mapping[str, float] = {"serve": 1.0, "api": 0.1, "worker": 0.7, "upkeep": 0.2}
"""Whom the kills hit, where a fleet has all of them: those most that carry attempts."""
CARRIERS = ("serve", "worker")
LEAST_SECONDS_OF_LIFE = 0.02
POLL_SECONDS = 0.02
CLOCK_JUMP_SECONDS = 20.0
FULL_DISK_SECONDS = 1.5
AFTER_SECONDS = 1.0
"""How long a lane leaves the installation alone after a fault, on average."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """One fault as it was drawn. `which` in [0, 1) picks among what there is then; `amount` in [0, 1) sizes it."""

    kind: str
    which: float
    amount: float
    seconds: float
    pause_seconds: float


def draws(chance: random.Random, weights: Mapping[str, float]) -> Iterator[Draw]:
    """Faults without end."""
    while True:
        yield Draw(
            kind=chance.choices([*weights], [*weights.values()])[0],
            which=chance.random(),
            amount=chance.random(),
            seconds=0.2 + 2.8 * chance.random(),
            pause_seconds=chance.expovariate(1 / AFTER_SECONDS),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A fault that was made."""

    at: float
    until: float
    kind: str
    target: str


@dataclass(slots=True, eq=False, kw_only=True)
class Faults:
    """Kills in one lane, everything else in others, until `enough` is set."""

    installation: Installation
    seed: int
    kills_per_second: float
    lanes: int = 2
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    done: list[Done] = field(default_factory=list[Done])
    _server_turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._kill_lane())
            for lane in range(self.lanes):
                group.create_task(self._lane(random.Random(f"{self.seed}/{lane}")))

    async def _kill_lane(self) -> None:
        """Kill at the wanted pace, in whatever moment that is; late ones are made up for."""
        chance = random.Random(f"{self.seed}/kills")
        next_at = time.monotonic()
        while not self.enough.is_set():
            next_at += chance.expovariate(self.kills_per_second)
            which, life_seconds = chance.random(), chance.expovariate(20)
            await self._pause(next_at - time.monotonic())
            await self._until_work_goes_on()
            node = self._chosen_node(which)
            if node is None or not await node.up(1.0):
                continue
            await asyncio.sleep(LEAST_SECONDS_OF_LIFE + life_seconds)
            if node.kill():
                now = time.time()
                self.done.append(Done(at=now, until=now, kind="kill", target=node.name))

    async def _until_work_goes_on(self) -> None:
        """A third of those that carry attempts is at work: where all lie dead at once, nothing is left to be tried."""
        carriers = [node for node in self.installation.nodes if node.role in CARRIERS]
        least = max(1, len(carriers) // 3)
        while not self.enough.is_set() and sum(node.is_up for node in carriers) < least:
            await self._pause(POLL_SECONDS)

    def _chosen_node(self, which: float) -> Node | None:
        """By role first; one of it that is up, where one is, or else any that is up."""
        roles = sorted({node.role for node in self.installation.nodes})
        total = sum(ROLE_WEIGHTS[role] for role in roles)
        for role in roles:
            share = ROLE_WEIGHTS[role] / total
            if which < share:
                of_role = [node for node in self.installation.nodes if node.role == role]
                up = [node for node in of_role if node.is_up] or of_role
                if not up[0].is_up:
                    up = [node for node in self.installation.nodes if node.is_up] or of_role
                return up[int(which / share * len(up))]
            which -= share
        return None

    async def _lane(self, chance: random.Random) -> None:
        makers = self.makers()
        for draw in draws(chance, {kind: weight for kind, (weight, _) in makers.items()}):
            if self.enough.is_set():
                return
            at = time.time()
            target = await makers[draw.kind][1](draw)
            if target:
                self.done.append(Done(at=at, until=time.time(), kind=draw.kind, target=target))
            await self._pause(draw.pause_seconds)

    def makers(self) -> Mapping[str, tuple[float, Callable[[Draw], Awaitable[str]]]]:
        """The kinds of faults that this installation can have, with their weights."""
        found: dict[str, tuple[float, Callable[[Draw], Awaitable[str]]]] = {
            "stop and go on": (3, self._stop),
            "restart": (2, self._restart),
            "clock jump": (1, self._jump_clock),
        }
        for kind in ("cut", "refuse", "stall", "slow", "half-open"):
            found[f"network: {kind}"] = (1.5, self._network)
        if self.installation.servers:
            found["server killed"] = (1.5, self._kill_server)
        if self.installation.messages is not None:
            found["messages doubled"] = (1.5, self._duplicate_messages)
            found["messages dropped"] = (1, self._drop_messages)
        if self.installation.disk is not None:
            found["disk full"] = (0.7, self._fill_disk)
        return found

    async def _stop(self, draw: Draw) -> str:
        node = self._one(self.installation.nodes, draw.which)
        node.stop()
        await self._pause(draw.seconds * 2)
        node.go_on()
        return node.name

    async def _restart(self, draw: Draw) -> str:
        node = self._one(self.installation.nodes, draw.which)
        node.restart()
        return node.name

    async def _jump_clock(self, draw: Draw) -> str:
        node = self._one(self.installation.nodes, draw.which)
        seconds = CLOCK_JUMP_SECONDS * (2 * draw.amount - 1)
        node.set_clock(seconds)
        await self._pause(draw.seconds * 2)
        node.set_clock(0.0)
        return f"{node.name} by {seconds:+.0f} s"

    async def _network(self, draw: Draw) -> str:
        proxy = self._one(self.installation.proxies, draw.which)
        kind = draw.kind.removeprefix("network: ")
        self._disturb(proxy, kind, draw.amount)
        if kind != "cut":
            await self._pause(draw.seconds)
            proxy.heal()
        return proxy.name

    @staticmethod
    def _disturb(proxy: ChaosProxy, kind: str, amount: float) -> None:
        match kind:
            case "cut":
                proxy.cut()
            case "refuse":
                proxy.refuse()
            case "stall":
                proxy.stall()
            case "slow":
                proxy.slow_down(0.02 + 0.2 * amount)
            case _:
                proxy.forget()

    async def _kill_server(self, draw: Draw) -> str:
        server = self._one(self.installation.servers, draw.which)
        async with self._server_turn:
            await server.kill()
            await self._pause(draw.seconds)
            await server.again()
        return server.name

    async def _duplicate_messages(self, draw: Draw) -> str:
        messages = self.installation.messages
        if messages is None:
            return ""
        return await messages.duplicate(1 + int(draw.amount * 20))

    async def _drop_messages(self, draw: Draw) -> str:
        del draw
        messages = self.installation.messages
        return await messages.drop() if messages is not None else ""

    async def _fill_disk(self, draw: Draw) -> str:
        disk = self.installation.disk
        if disk is None:
            return ""
        async with self._server_turn:
            await asyncio.to_thread(disk.fill)
            await self._pause(min(draw.seconds, FULL_DISK_SECONDS))
            await asyncio.to_thread(disk.clear)
            # A server that could not write may have given up.
            for server in self.installation.servers:
                await server.again()
        return "the database's disk"

    @staticmethod
    def _one(things: Sequence[Thing], which: float) -> Thing:
        return things[int(which * len(things))]

    async def _pause(self, seconds: float) -> None:
        """Sleep, but no longer than until it is enough."""
        if seconds > 0:
            try:
                async with asyncio.timeout(seconds):
                    await self.enough.wait()
            except TimeoutError:
                return
