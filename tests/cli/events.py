"""Events of a task, made up as a service would tell them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from chargehand.cli.progress import Progress
from chargehand.wire.rest import EventBody

START = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


class Teller:
    """Tells a tree's events one after the other, each task's own sequence counted."""

    def __init__(self, root_id: str = "root", agent_id: str = "lead") -> None:
        self.progress = Progress(root_id, agent_id)
        self._last: dict[str, int] = {}

    def tell(self, task_id: str, kind: str, /, *, after_seconds: float = 0, **data: Any) -> EventBody:
        """The next event of a task; the tree learns of it."""
        event = self.event(task_id, kind, after_seconds=after_seconds, **data)
        self.progress.take(event, received_at=event.at)
        return event

    def event(self, task_id: str, kind: str, /, *, after_seconds: float = 0, **data: Any) -> EventBody:
        """The next event of a task."""
        sequence = self._last[task_id] = self._last.get(task_id, 0) + 1
        at = START + timedelta(seconds=after_seconds)
        return EventBody(task_id=task_id, sequence=sequence, kind=kind, at=at, data=data)

    def delegate(self, task_id: str, *child_ids: str) -> None:
        """Have a task hand work to children whose agents are named like their ids."""
        children = [{"task_id": child, "agent_id": f"agent-{child}"} for child in child_ids]
        self.tell(task_id, "task.delegated", path="0/1", children=children)
