"""Messages that come twice, late or never: what the engine's wake-ups must bear."""

import asyncio
import importlib
from dataclasses import dataclass
from typing import Any

from kombu.exceptions import OperationalError

from chaos.outside import DatabaseSilent, Outside

TASK = "process_agent_task"
NEWEST = "SELECT id FROM agent_tasks ORDER BY updated_at DESC LIMIT "
SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class BrokerMessages:
    """The broker, as an outsider with an account of his own reaches it."""

    url: str
    outside: Outside

    async def duplicate(self, count: int) -> str:
        """Wake workers for some open tasks and some that have ended, whoever else does."""
        try:
            rows = await self.outside.rows(NEWEST + str(count))
            async with asyncio.timeout(SECONDS):
                await asyncio.to_thread(self._send, [row[0] for row in rows])
        except (DatabaseSilent, OperationalError, OSError, TimeoutError):
            return ""
        return f"{len(rows)} messages"

    async def drop(self) -> str:
        """Purge what waits."""
        try:
            async with asyncio.timeout(SECONDS):
                count = await asyncio.to_thread(self._purge)
        except (OperationalError, OSError, TimeoutError):
            return ""
        return f"{count} messages"

    def _send(self, task_ids: list[str]) -> None:
        with self._app() as app:
            for task_id in task_ids:
                app.send_task(TASK, args=[task_id], retry=False)

    def _purge(self) -> int:
        with self._app() as app:
            return int(app.control.purge() or 0)

    def _app(self) -> Any:
        """A Celery application of the outsider's own; its library has no types."""
        return importlib.import_module("celery").Celery("chaos", broker=self.url)
