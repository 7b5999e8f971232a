"""Rates: how often something may be done, as a port; counted in this process, or in Redis for all together.

The algorithm is GCRA: of each key one time is kept, at which its allowance is whole again. A request is allowed when
that time lies no further ahead than a burst; it moves the time on by one interval. One look may ask several allowances
at once: it takes from each of them or, where one is used up, from none.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

import structlog

from chargehand.store.redis_client import database_number, open_redis, redis_failures

log = structlog.stdlib.get_logger("chargehand.rates")

MOST_KEYS = 10_000
REDIS_SECONDS = 0.5
"""How long a request waits for Redis's answer before this process decides alone."""
AWAY_SECONDS = 2.0
"""How long Redis is then left alone, so that not every request waits for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """So many a second in the long run, and at most `burst` at once."""

    per_second: float
    burst: int = 1

    @classmethod
    def of_seconds(cls, per_second: float, seconds: float = 1.0) -> "Rate":
        """With as much at once as so many seconds give, at least one."""
        return cls(per_second=per_second, burst=max(1, int(per_second * seconds)))

    def shared_by(self, processes: int) -> "Rate":
        """One process's share of it."""
        return Rate(per_second=self.per_second / processes, burst=max(1, self.burst // processes))

    def left(self, whole_in_seconds: float) -> int:
        """How many may be done at once while the allowance is whole again in so many seconds."""
        return max(0, int(self.burst - whole_in_seconds * self.per_second + 1e-6))


Asked = Sequence[tuple[str, Rate]]
"""Allowances: each with the key that it is counted under."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of a look at some allowances."""

    wait: float
    """0: it may be done now, and was counted; else in how many seconds, and nothing was."""
    whole_in: tuple[float, ...]
    """In how many seconds each allowance is whole again, in the order in which they were asked."""


class Rates(ABC):
    """Takes from allowances."""

    async def take(self, key: str, rate: Rate) -> float:
        """0 when it may be done now, which counts; else in how many seconds, which does not."""
        return (await self.take_all(((key, rate),))).wait

    @abstractmethod
    async def take_all(self, asked: Asked) -> Taken:
        """Take one from each of the allowances, or from none when one of them is used up."""

    @abstractmethod
    async def look(self, asked: Asked) -> Taken:
        """As `take_all`, but nothing is counted."""

    @abstractmethod
    async def aclose(self) -> None:
        """Let go of what it holds."""


class LocalRates(Rates):
    """Counted in this process."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._whole_at: dict[str, float] = {}

    @property
    def known(self) -> int:
        """How many keys it keeps in mind."""
        return len(self._whole_at)

    async def take_all(self, asked: Asked) -> Taken:
        """Answers at once."""
        return self.count(asked)

    async def look(self, asked: Asked) -> Taken:
        """Answers at once."""
        return self.count(asked, only_look=True)

    def count(self, asked: Asked, *, only_look: bool = False) -> Taken:
        """As `take_all`, or `look`, without a wait for anything."""
        now, longest = self._now(), 0.0
        wholes: list[float] = []
        for key, rate in asked:
            whole_in = max(self._whole_at.get(key, now) - now, 0.0)
            wholes.append(whole_in)
            longest = max(longest, whole_in - (rate.burst - 1) / rate.per_second)
        if longest > 1e-9:
            return Taken(longest, tuple(wholes))
        if only_look:
            return Taken(0.0, tuple(wholes))
        for index, (key, rate) in enumerate(asked):
            wholes[index] += 1 / rate.per_second
            if key not in self._whole_at and len(self._whole_at) >= MOST_KEYS:
                self._forget(now)
            self._whole_at[key] = now + wholes[index]
        return Taken(0.0, tuple(wholes))

    async def aclose(self) -> None:
        """Nothing to let go of."""

    def _forget(self, now: float) -> None:
        """Keys whose allowance is whole need no memory; if none is, the ones that are whole soonest go."""
        kept = {key: at for key, at in self._whole_at.items() if at > now}
        latest = sorted(kept.items(), key=lambda one: one[1])[-MOST_KEYS // 2 :]
        self._whole_at = dict(latest)


# Times are in microseconds by Redis's own clock: one clock for all processes, and whole numbers stay exact.
_TAKE = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local longest, wholes = 0, {}
for at, key in ipairs(KEYS) do
  local interval, burst = tonumber(ARGV[2 * at]), tonumber(ARGV[2 * at + 1])
  wholes[at] = math.max((tonumber(redis.call('GET', key)) or now) - now, 0)
  longest = math.max(longest, wholes[at] - (burst - 1) * interval)
end
if longest <= 0 and ARGV[1] == 'take' then
  for at, key in ipairs(KEYS) do
    wholes[at] = wholes[at] + tonumber(ARGV[2 * at])
    local text = string.format('%.0f', now + wholes[at])
    redis.call('SET', key, text, 'PX', math.ceil(wholes[at] / 1000) + 1000)
  end
end
table.insert(wholes, 1, longest)
return wholes
"""


class RedisRates(Rates):
    """Counted in Redis, for all processes together; while it is away each process counts its share alone."""

    def __init__(self, url: str, processes: Callable[[], int], now: Callable[[], float] = monotonic) -> None:
        self._client = open_redis(url, answer_seconds=REDIS_SECONDS)
        self._script: Any = self._client.register_script(_TAKE)
        self._prefix = f"chargehand:{database_number(url)}:rate:"
        self._processes = processes
        self._now = now
        self._alone = LocalRates(now)
        self._away_until = 0.0
        self._is_out = False

    async def take_all(self, asked: Asked) -> Taken:
        """One round trip; the decision and the count are one step there."""
        return await self._count(asked, only_look=False)

    async def look(self, asked: Asked) -> Taken:
        """One round trip."""
        return await self._count(asked, only_look=True)

    async def _count(self, asked: Asked, *, only_look: bool) -> Taken:
        if self._now() >= self._away_until:
            try:
                taken = await self._ask(asked, only_look=only_look)
            except _Away as away:
                self._is_away(away)
            else:
                self._is_out = False
                return taken
        processes = max(1, self._processes())
        shares = [(key, rate.shared_by(processes)) for key, rate in asked]
        return self._alone.count(shares, only_look=only_look)

    async def _ask(self, asked: Asked, *, only_look: bool) -> Taken:
        keys = [self._prefix + key for key, _ in asked]
        arguments: list[str | int] = ["look" if only_look else "take"]
        for _, rate in asked:
            arguments += (max(1, round(1_000_000 / rate.per_second)), rate.burst)
        with redis_failures(_Away):
            async with asyncio.timeout(REDIS_SECONDS):
                wait, *wholes = await self._script(keys=keys, args=arguments)
        return Taken(int(wait) / 1_000_000, tuple(int(whole) / 1_000_000 for whole in wholes))

    def _is_away(self, why: Exception) -> None:
        self._away_until = self._now() + AWAY_SECONDS
        if not self._is_out:
            log.warning("rates are counted in each process alone until Redis is back", error=str(why))
        self._is_out = True

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()


class _Away(Exception):
    """Redis did not answer, or not usably."""
