"""The way to one provider: how many requests at once, and none for a while when it keeps failing.

Rule: nothing waits here for a provider that fails. Whoever may not ask is told how long to stay away, and
waits as a timer in the journal.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from chargehand.clock import Clock
from chargehand.models.failure import FailureKind, ModelFailure
from chargehand.models.limits import ModelLimits


@dataclass(slots=True)
class Circuit:
    """Closed: all may ask. After so many failures in a row it is open: nobody may. Then one may try (half-open)."""

    clock: Clock
    max_failures: int
    open_seconds: float
    _failures: int = 0
    _open_until: float = 0.0
    _is_probed: bool = False

    def seconds_to_stay_away(self) -> float:
        """0: ask now, and tell what came of it; the first to get this from an open circuit is the probe."""
        if self._failures < self.max_failures:
            return 0.0
        left = self._open_until - self.clock.monotonic()
        if left > 0:
            return left
        if self._is_probed:
            return self.open_seconds
        self._is_probed = True
        return 0.0

    def answered(self) -> None:
        """The provider is there, whatever it said."""
        self._failures = 0
        self._is_probed = False

    def failed(self) -> None:
        """It was the provider's fault."""
        self._failures += 1
        self._is_probed = False
        if self._failures >= self.max_failures:
            self._open_until = self.clock.monotonic() + self.open_seconds

    def dropped(self) -> None:
        """Nobody knows what would have come of it; another may be the probe."""
        self._is_probed = False


@dataclass(slots=True)
class Way:
    """The way to one provider."""

    name: str
    circuit: Circuit
    places: asyncio.Semaphore = field(repr=False)

    @asynccontextmanager
    async def taken(self) -> AsyncGenerator[None, None]:
        """Within it one request is made. ModelFailure(NOT_ASKED) when none may be; its outcome is noted."""
        async with self.places:
            # Looked at only now: while this one stood in line, others may have failed.
            seconds = self.circuit.seconds_to_stay_away()
            if seconds > 0:
                raise ModelFailure(
                    f"provider {self.name!r} failed {self.circuit.max_failures} times in a row and is left alone",
                    FailureKind.NOT_ASKED,
                    retry_after_seconds=seconds,
                )
            try:
                yield
            except ModelFailure as failure:
                if failure.policy.is_providers_fault:
                    self.circuit.failed()
                else:
                    self.circuit.answered()
                raise
            except BaseException:
                self.circuit.dropped()
                raise
            self.circuit.answered()


class Ways:
    """The ways to all providers, by name."""

    def __init__(self, limits: ModelLimits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._ways: dict[str, Way] = {}

    def to(self, provider: str) -> Way:
        """The way to a provider, made when it is first asked for."""
        if provider not in self._ways:
            circuit = Circuit(self._clock, self._limits.circuit_failures, self._limits.circuit_seconds)
            self._ways[provider] = Way(provider, circuit, asyncio.Semaphore(self._limits.concurrency))
        return self._ways[provider]
