"""Which engine a process has, whom its hints reach, and which duties it takes part in: by what the settings say."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from chargehand.clock import Clock
from chargehand.domain.task import Task
from chargehand.engine.duties import DutyRounds
from chargehand.engine.embedded import EmbeddedEngine
from chargehand.engine.fleet import FleetEngine
from chargehand.settings import Settings
from chargehand.store.bus import AGENTS, CANCEL, LIMITS, Bus
from chargehand.telemetry.metrics import Metrics

Engine = EmbeddedEngine | FleetEngine


class Publisher(Protocol):
    """Tells other processes that tasks are ready."""

    @property
    def state(self) -> str:
        """How its way stands, in words."""
        ...

    @property
    def is_away(self) -> bool:
        """Whether the last could not be told."""
        ...

    def start(self) -> None:
        """Begin."""
        ...

    def stop(self) -> None:
        """End."""
        ...

    def tell(self, ready: Sequence[Task]) -> None:
        """These are ready."""
        ...


@dataclass(slots=True)
class EngineDoor:
    """Hints to whoever carries out tasks, here and elsewhere; made before them, because the services hint."""

    bus: Bus
    clock: Clock
    engine: Engine | None = None
    publisher: Publisher | None = None
    duties: DutyRounds | None = None

    def __post_init__(self) -> None:
        self.bus.hear(CANCEL, self._cancel)
        for topic in (LIMITS, AGENTS):
            # More may be allowed to begin now.
            self.bus.hear(topic, lambda _: self.wake())

    def wake(self, due: datetime | None = None, ready: Sequence[Task] = ()) -> None:
        """Tasks may be ready, or something is due at this time."""
        if self.engine is not None:
            self.engine.wake(due, ready)
        if self.duties is not None:
            self.duties.wake(due)
        if self.publisher is not None and ready:
            now = self.clock.now()
            if told := self._beyond_own([task for task in ready if task.run_after <= now]):
                self.publisher.tell(told)

    def _beyond_own(self, ready: Sequence[Task]) -> Sequence[Task]:
        """What this process will hardly begin itself at once."""
        if not isinstance(self.engine, FleetEngine):
            return ready
        carrier = self.engine.carrier
        own = [task for task in ready if carrier.includes(task.agent_id)][: max(0, carrier.free)]
        taken = {task.id for task in own}
        return [task for task in ready if task.id not in taken]

    def cancel(self, task_ids: Sequence[str]) -> None:
        """These tasks are to be stopped, whichever process carries them."""
        for task_id in task_ids:
            self.bus.publish(CANCEL, task_id)

    def _cancel(self, task_id: str) -> None:
        if self.engine is not None:
            self.engine.cancel([task_id])


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a process does of the whole. The default is that of `chargehand serve`."""

    carries: bool = True
    """Whether it carries out tasks; with engine `celery` only a worker does."""
    is_worker: bool = False
    queues: Sequence[str] = ()
    """Of a worker: those whose agents it serves."""
    has_duties: bool = True


def open_publisher(settings: Settings, metrics: Metrics) -> Publisher | None:
    """With engine `celery`: the way to the broker."""
    if settings.engine != "celery":
        return None
    # Only here, because it needs the extra `celery`, and takes a while.
    from chargehand.engine.celery_hints import HintPublisher  # noqa: PLC0415 - an extra

    return HintPublisher(settings, metrics.hints)
