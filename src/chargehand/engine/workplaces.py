"""Where an attempt works: in the one folder of its workspace, or in a folder of its own that follows snapshots.

The first is for one process on one host. The second (engine/snapshot_places.py) is for a fleet.
"""

from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from chargehand.domain.task import Task
from chargehand.engine.copies import Copies
from chargehand.errors import Unavailable
from chargehand.runtimes.base import Hands
from chargehand.runtimes.isolation import bring_changes_back, has_own_workspace, make_own_workspace
from chargehand.service.journal import Journal
from chargehand.tools.workspace import Quota, Workspace


class Place(Protocol):
    """Where one attempt works, while it does."""

    @property
    def workspace(self) -> Workspace:
        """The folder, held open."""
        ...

    async def keep(self) -> None:
        """Make what the folder holds that from which the task goes on, wherever that is. LeaseLost."""
        ...

    async def bring_changes_back(self, hands: Hands) -> None:
        """For a workspace of the task's own: apply its changes to the shared one, as a step."""
        ...


class Workplaces(Protocol):
    """Opens places."""

    def opened(self, task: Task) -> AbstractAsyncContextManager[Place]:
        """The place of an attempt; left when the attempt has nothing running any more."""
        ...

    async def close(self) -> None:
        """No attempt is left."""
        ...


@dataclass(frozen=True, slots=True)
class SharedPlace:
    """The folder of the workspace itself: what stands there is what counts."""

    workspace: Workspace
    quota: Quota
    shared: Path | None
    """Of a workspace of a task's own: the one it was copied from."""

    async def keep(self) -> None:
        """It is where it belongs."""

    async def bring_changes_back(self, hands: Hands) -> None:
        """See `Place`."""
        if self.shared is not None:
            await bring_changes_back(hands, self.shared, self.quota)


@dataclass(frozen=True, slots=True)
class SharedPlaces:
    """One folder a workspace, used by every attempt in it."""

    workspaces: Path
    journal: Journal
    copies: Copies
    quota: Quota

    @asynccontextmanager
    async def opened(self, task: Task) -> AsyncGenerator[SharedPlace, None]:
        """The workspace is the tree's, or the task's own copy of it."""
        folder = self.workspaces / (task.workspace_id or task.root_id)
        shared: Path | None = None
        if has_own_workspace(task):
            shared = self.workspaces / await self.journal.parent_workspace(task)
            self.copies.made(task.id)
            await make_own_workspace(task, shared, folder, self.quota)
        _make(folder)
        with Workspace(folder, quota=self.quota) as workspace:
            yield SharedPlace(workspace, self.quota, shared)

    async def close(self) -> None:
        """Nothing is kept open."""


def _make(folder: Path) -> None:
    # At once: beside it lies the database, which is written in this thread too; a hop to another one costs as much as
    # four such folders.
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Unavailable(f"the workspace {folder.name} cannot be made: {error.strerror}") from error
