"""Messages that come twice, late or never: what the engine's wake-ups must bear."""

import asyncio
import importlib
from dataclasses import dataclass
from typing import Any

from kombu import Connection  # pyright: ignore[reportPrivateImportUsage] - its documented place
from kombu.exceptions import KombuError, OperationalError

from chaos.outside import DatabaseSilent, Outside

TASK, QUEUE = "process_agent_task", "chargehand"
NEWEST = "SELECT id, agent_id FROM agent_tasks ORDER BY updated_at DESC LIMIT "
SECONDS = 10.0
TRANSPORT = {
    "global_keyprefix": "chargehand:",
    "queue_order_strategy": "priority",
    "priority_steps": [0, 3, 6, 9],
    "socket_connect_timeout": 2,
    "connect_timeout": 2,
}
"""As the service uses Redis; the others do not look at it."""
FAILURES = (DatabaseSilent, KombuError, OperationalError, OSError, TimeoutError)


@dataclass(frozen=True, slots=True)
class BrokerMessages:
    """The broker, as an outsider with an account of his own reaches it."""

    url: str
    outside: Outside

    async def duplicate(self, count: int) -> str:
        """Wake workers for tasks that are open, and for some that have ended, whoever else does."""
        try:
            tasks = [(row[0], row[1]) for row in await self.outside.rows(NEWEST + str(count))]
            async with asyncio.timeout(SECONDS):
                await asyncio.to_thread(self._send, tasks)
        except FAILURES:
            return ""
        return f"{len(tasks)} messages"

    async def drop(self) -> str:
        """Purge what waits."""
        try:
            async with asyncio.timeout(SECONDS):
                count = await asyncio.to_thread(self._purge)
        except FAILURES:
            return ""
        return f"{count} messages"

    def _send(self, tasks: list[tuple[str, str]]) -> None:
        """Celery's own form of a message; its library has no types."""
        app: Any = importlib.import_module("celery").Celery("chaos", set_as_current=False)
        with self._connection() as connection:
            producer = app.amqp.Producer(connection, auto_declare=False)
            for number, (task_id, agent_id) in enumerate(tasks):
                message = app.amqp.as_task_v2(f"chaos-{task_id}-{number}", TASK, args=[task_id, agent_id])
                app.amqp.send_task_message(
                    producer, TASK, message, exchange="", routing_key=QUEUE, retry=False
                )

    def _purge(self) -> int:
        with self._connection() as connection:
            return int(connection.default_channel.queue_purge(QUEUE) or 0)

    def _connection(self) -> Any:
        return Connection(self.url, connect_timeout=2, transport_options=TRANSPORT)
