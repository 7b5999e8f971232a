"""Failed authentications: how many one address may make before it is refused unread.

Rule: what is refused costs a look into a dictionary, no query and no keyed hash. A key that was good a while ago is
never refused for what others at its address do, as behind one proxy or router. One of a suspended tenant is as a wrong
one: it is in no cache, so each look costs a query. What is limited is this process's work,
not guessing, which 190 random bits make hopeless; so each process counts alone.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

from chargehand.errors import TenantSuspended, TooManyRequests, Unauthorized
from chargehand.store.rates import LocalRates, Rate

MOST_KNOWN = 10_000
"""Keys that are remembered as good; by their hashes."""
FIRST_WAVE = 5
"""So many times the burst may be looked at side by side from an address that has not failed yet."""

Found = TypeVar("Found")
"""What verifying tells: who it is, or more of it."""


class AuthenticationTries:
    """Lets what is shown be verified, unless its address has failed too often."""

    def __init__(self, rate: Rate, now: Callable[[], float]) -> None:
        self._rate = rate
        self._failures = LocalRates(now)
        self._good: dict[bytes, None] = {}
        self._under_way: Counter[str] = Counter()

    async def verified(self, address: str, token: str, verify: Callable[[str], Awaitable[Found]]) -> Found:
        """Who holds what was shown; what `verify` raises, and TooManyRequests before it is asked."""
        fingerprint = hashlib.sha256(token.encode("utf-8", "replace")).digest()
        is_known = fingerprint in self._good
        if not is_known:
            self._refuse_over_limit(address)
            self._under_way[address] += 1
        try:
            found = await verify(token)
        except (Unauthorized, TenantSuspended):
            self._good.pop(fingerprint, None)
            self._failures.count(((address, self._rate),))
            raise
        finally:
            if not is_known:
                self._under_way[address] -= 1
                if not self._under_way[address]:
                    del self._under_way[address]
        if not is_known:
            if len(self._good) >= MOST_KNOWN:
                self._good.clear()
            self._good[fingerprint] = None
        return found

    def _refuse_over_limit(self, address: str) -> None:
        seen = self._failures.count(((address, self._rate),), only_look=True)
        [whole_in] = seen.whole_in
        left = self._rate.left(whole_in) if whole_in else FIRST_WAVE * self._rate.burst
        if self._under_way[address] < left:
            return
        seconds = max(1, math.ceil(seen.wait))
        raise TooManyRequests(
            "too many requests with wrong keys, or a suspended tenant's, came from this address"
            f" (CHARGEHAND_FAILED_AUTHENTICATIONS_PER_SECOND); correct the key; if yours is right and others' are not,"
            f" try again in {seconds} s",
            retry_after_seconds=seconds,
        )
