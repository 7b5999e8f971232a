"""What every engine is: a carrier, and loops that go on around it."""

import asyncio
from collections.abc import Sequence

from chargehand.engine.carrier import Carrier


class CarrierLoops:
    """How many attempts are carried, and whether all that sees to them still runs."""

    def __init__(self, carrier: Carrier) -> None:
        self.carrier = carrier
        self._loops: list[asyncio.Task[None]] = []

    @property
    def running(self) -> int:
        """Attempts carried right now."""
        return self.carrier.running

    @property
    def slots(self) -> int:
        """How many it may carry."""
        return self.carrier.slots

    @property
    def is_alive(self) -> bool:
        """Whether all loops go on."""
        return bool(self._loops) and not any(loop.done() for loop in self._loops)

    def cancel(self, task_ids: Sequence[str]) -> None:
        """Stop attempts whose tasks were canceled."""
        self.carrier.cancel(task_ids)
