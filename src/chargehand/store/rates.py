"""Rates: how often something may be done, as a port; counted in this process, or in Redis for all together.

The algorithm is GCRA: of each key one time is kept, at which its allowance is whole again. A request is allowed when
that time lies no further ahead than a burst; it moves the time on by one interval.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
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
    def of_seconds(cls, per_second: float) -> "Rate":
        """With as much at once as one second gives, at least one."""
        return cls(per_second=per_second, burst=max(1, int(per_second)))

    def shared_by(self, processes: int) -> "Rate":
        """One process's share of it."""
        return Rate(per_second=self.per_second / processes, burst=max(1, self.burst // processes))


class Rates(ABC):
    """Takes from allowances."""

    @abstractmethod
    async def take(self, key: str, rate: Rate) -> float:
        """0 when it may be done now, which counts; else in how many seconds, which does not."""

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

    async def take(self, key: str, rate: Rate) -> float:
        """Answers at once."""
        now, interval = self._now(), 1 / rate.per_second
        whole_at = max(self._whole_at.get(key, now), now)
        wait = whole_at - (rate.burst - 1) * interval - now
        if wait > 1e-9:
            return wait
        if key not in self._whole_at and len(self._whole_at) >= MOST_KEYS:
            self._forget(now)
        self._whole_at[key] = whole_at + interval
        return 0.0

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
local interval, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local whole_at = math.max(tonumber(redis.call('GET', KEYS[1])) or now, now)
local wait = whole_at - (burst - 1) * interval - now
if wait > 0 then return wait end
whole_at = whole_at + interval
redis.call('SET', KEYS[1], string.format('%.0f', whole_at), 'PX', math.ceil((whole_at - now) / 1000) + 1000)
return 0
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

    async def take(self, key: str, rate: Rate) -> float:
        """One round trip; the decision and the count are one step there."""
        if self._now() >= self._away_until:
            try:
                wait = await self._ask(key, rate)
            except _Away as away:
                self._is_away(away)
            else:
                self._is_out = False
                return wait
        return await self._alone.take(key, rate.shared_by(max(1, self._processes())))

    async def _ask(self, key: str, rate: Rate) -> float:
        with redis_failures(_Away):
            async with asyncio.timeout(REDIS_SECONDS):
                arguments = [round(1_000_000 / rate.per_second), rate.burst]
                microseconds = await self._script(keys=[self._prefix + key], args=arguments)
        return int(microseconds) / 1_000_000

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
