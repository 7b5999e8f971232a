"""Tells a fleet's workers, through the broker, that tasks became ready; from one thread, beside the event loop.

Rule: a hint never delays an answer and never fails a commit. While the broker is away, or slower than hints come,
hints are counted together or dropped: the workers look into the rows anyway.
"""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import structlog

from chargehand.domain.queues import Queues
from chargehand.domain.task import Task
from chargehand.engine.celery import PRIORITIES, TASK, fleet_app
from chargehand.settings import Settings
from chargehand.telemetry.metrics import Counter

log = structlog.stdlib.get_logger("chargehand.hints")

MOST_AT_ONCE = 4
"""Messages for the hints of one queue and priority that came together: as many workers look at once."""
PAUSE_SECONDS_EACH, MAX_PAUSE_SECONDS = 0.002, 0.03
"""After hints were sent, for each of them, so that what comes in quick succession is told together: a message costs
the sender as much as the task's row, and a busy worker looks by itself."""
LOOK_EVERY = 500
"""After so many messages it is looked at how many of them nobody has taken."""
MOST_WAITING = 1_000
"""With so many in a queue nobody needs one more."""
FIRST_BACKOFF_SECONDS, MAX_BACKOFF_SECONDS = 0.25, 5.0


@dataclass(slots=True)
class _Gathered:
    task_id: str
    agent_id: str
    count: int = 0


class HintPublisher:
    """Sends wake-ups. `start` and `stop` bound its life; `tell` may be called at any time, from the event loop."""

    def __init__(self, settings: Settings, sent: Counter) -> None:
        self._queues = Queues(settings.agent_queues)
        self._app = fleet_app(settings)
        self._sent = sent
        """By outcome: sent, dropped, enough."""
        self._gathered: dict[tuple[str, int], _Gathered] = {}
        self._changed = threading.Condition()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="chargehand-hints", daemon=True)
        self._connection: Any = None
        self._producer: Any = None
        self._since_look = 0
        self._enough_until: dict[str, float] = {}
        self._state = "no wake-up was sent yet"
        self._is_away = False

    @property
    def state(self) -> str:
        """How the broker took the last wake-ups, in words and without its address."""
        return self._state

    @property
    def is_away(self) -> bool:
        """Whether the broker did not take the last wake-ups."""
        return self._is_away

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self, limit_seconds: float = 2.0) -> None:
        """Send what is gathered, unless that takes longer."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify()
        self._thread.join(limit_seconds)

    def tell(self, ready: Iterable[Task]) -> None:
        """These tasks are ready. What is gathered is bounded by how many queues and priorities there are."""
        with self._changed:
            for task in ready:
                key = (self._queues.of(task.agent_id), _message_priority(task.priority))
                one = self._gathered.get(key)
                if one is None:
                    one = self._gathered[key] = _Gathered(task.id, task.agent_id)
                one.count += 1
            self._changed.notify()

    def _run(self) -> None:
        backoff = FIRST_BACKOFF_SECONDS
        while gathered := self._take():
            try:
                self._connect()
                for (queue, priority), one in gathered.items():
                    self._send(queue, priority, one)
                self._state, self._is_away = "takes wake-ups", False
                backoff = FIRST_BACKOFF_SECONDS
                pause = min(
                    MAX_PAUSE_SECONDS, PAUSE_SECONDS_EACH * sum(one.count for one in gathered.values())
                )
            except Exception as error:  # noqa: BLE001 - each transport has its own; hints are not worth more than a try
                self._sent.add("dropped", by=sum(one.count for one in gathered.values()))
                log.warning(
                    "the broker takes no wake-ups now; workers find tasks by themselves", error=str(error)
                )
                self._state = "away: workers find tasks in the rows, up to a second later"
                self._is_away = True
                self._disconnect()
                pause, backoff = backoff, min(backoff * 2, MAX_BACKOFF_SECONDS)
            self._pause(pause)
        self._disconnect()

    def _take(self) -> dict[tuple[str, int], _Gathered]:
        """What is to be told, as soon as there is something; nothing at the end."""
        with self._changed:
            while not self._gathered and not self._is_stopping:
                self._changed.wait()
            gathered, self._gathered = self._gathered, {}
        return gathered

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        with self._changed:
            while not self._is_stopping and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)

    def _connect(self) -> None:
        if self._producer is None:
            self._connection = self._app.connection_for_write()
            self._connection.ensure_connection(max_retries=1, interval_start=0, timeout=4)
            self._producer = self._app.amqp.Producer(self._connection, auto_declare=False)
            for queue in self._app.amqp.queues.values():
                queue(self._connection.default_channel).declare()
            log.info("wake-ups go to the broker", broker=self._connection.as_uri())

    def _disconnect(self) -> None:
        connection, self._connection, self._producer = self._connection, None, None
        if connection is not None:
            try:
                connection.release()
            except Exception:  # noqa: BLE001 - it is given up
                log.debug("a broker's connection did not close")

    def _send(self, queue: str, priority: int, one: _Gathered) -> None:
        if self._has_enough(queue):
            self._sent.add("enough", by=one.count)
            return
        messages = min(one.count, MOST_AT_ONCE)
        for _ in range(messages):
            self._app.tasks[TASK].apply_async(
                args=(one.task_id, one.agent_id),
                queue=queue,
                priority=priority
                if self._connection.transport.driver_type == "amqp"
                else _reversed(priority),
                producer=self._producer,
                retry=False,
            )
        self._sent.add("sent", by=messages)
        self._since_look += messages

    def _has_enough(self, queue: str) -> bool:
        """Whether so many wake-ups wait there that no worker lacks one: none is running, or all are busy."""
        if self._since_look >= LOOK_EVERY:
            self._since_look = 0
            for name in self._queues.names:
                found = self._app.amqp.queues[name](self._connection.default_channel).queue_declare()
                if found.message_count > MOST_WAITING:
                    self._enough_until[name] = time.monotonic() + 1.0
                    self._since_look = LOOK_EVERY
        return time.monotonic() < self._enough_until.get(queue, 0.0)


def _message_priority(priority: int) -> int:
    """A task's (-100 to 100) as RabbitMQ's: the largest first."""
    return min(PRIORITIES - 1, max(0, (priority + 100) * PRIORITIES // 201))


def _reversed(priority: int) -> int:
    """As Redis' transport has it: the smallest first."""
    return PRIORITIES - 1 - priority
