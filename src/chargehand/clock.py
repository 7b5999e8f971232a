"""The only source of time, ids and randomness; tests hand in one that they move themselves."""

import asyncio
import os
import random
import secrets
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Time and chance, as a port."""

    def now(self) -> datetime:
        """The present, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds for measuring intervals."""
        ...

    def new_id(self) -> str:
        """A UUIDv7 (RFC 9562): ids made later sort later."""
        ...

    def token_bytes(self, count: int) -> bytes:
        """Unpredictable bytes, for secrets."""
        ...

    def random(self) -> float:
        """In [0, 1), for jitter and for agents that ask for chance; not for secrets."""
        ...

    async def sleep_until(self, when: datetime, wake: asyncio.Event) -> None:
        """Return when it is `when` or later, or as soon as `wake` is set."""
        ...


def uuid7(milliseconds: int, entropy: bytes) -> str:
    """RFC 9562 section 5.7: 48 bits of time, then 74 random bits; `entropy` holds at least 10 bytes."""
    value = (milliseconds & (2**48 - 1)) << 80 | int.from_bytes(entropy[:10], "big")
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0x3 << 62) | 2 << 62
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


class SystemClock:
    """The machine's own. Of two ids that it makes the later sorts later, also within a millisecond (RFC 9562, 6.2)."""

    def __init__(self) -> None:
        self._last_id_time = 0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def new_id(self) -> str:
        # In parts of 1/4096 of a millisecond: what is beyond the milliseconds takes the place of twelve random bits.
        self._last_id_time = max(self._last_id_time + 1, (time.time_ns() << 12) // 1_000_000)
        milliseconds, part = divmod(self._last_id_time, 1 << 12)
        return uuid7(milliseconds, part.to_bytes(2, "big") + os.urandom(8))

    def token_bytes(self, count: int) -> bytes:
        return secrets.token_bytes(count)

    def random(self) -> float:
        return random.random()  # noqa: S311 - jitter, not secrets

    async def sleep_until(self, when: datetime, wake: asyncio.Event) -> None:
        seconds = (when - self.now()).total_seconds()
        if seconds > 0:
            try:
                async with asyncio.timeout(seconds):
                    await wake.wait()
            except TimeoutError:
                return
