"""Removes the workspaces that isolated tasks had of their own, once nobody needs them.

Rule: a copy goes only after its task's end is in the rows, which is after what its changes came to. A removal that
fails or is cut short is begun again at the next look, at the latest at the next start.
"""

import asyncio
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from chargehand.service.upkeep import Upkeep
from chargehand.tools.own_workspace import copies_in, remove_copy

log = structlog.stdlib.get_logger("chargehand.copies")


@dataclass(slots=True)
class Copies:
    """The copies that are there, by the ids of their tasks."""

    upkeep: Upkeep
    workspaces: Path
    _there: set[str] = field(default_factory=set[str])
    _removing: asyncio.Task[None] | None = None

    async def look(self) -> None:
        """Find what earlier lives of the service have left."""
        self._there |= await asyncio.to_thread(copies_in, self.workspaces)

    def made(self, task_id: str) -> None:
        """The task has a copy, or is about to."""
        self._there.add(task_id)

    async def sweep(self, *, but_not: Container[str]) -> None:
        """Begin to remove what nobody needs; `but_not`: tasks that this process still has in hand."""
        if not self._there or (self._removing is not None and not self._removing.done()):
            return
        unused = await self.upkeep.unused_copies(self._there)
        if ready := [task_id for task_id in unused if task_id not in but_not]:
            # Beside the caller, who has leases to renew: a copy may have tens of thousands of files.
            self._removing = asyncio.create_task(self._remove(ready))

    async def close(self) -> None:
        """Wait for what is being removed."""
        if self._removing is not None:
            await self._removing

    async def _remove(self, task_ids: list[str]) -> None:
        for task_id in task_ids:
            try:
                await asyncio.to_thread(remove_copy, self.workspaces / task_id)
            except OSError as error:
                log.warning("a copy of a workspace cannot be removed yet", task_id=task_id, error=str(error))
            else:
                self._there.discard(task_id)
