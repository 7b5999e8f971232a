"""What a person tells a task: an open one takes it at its next turn, a finished one is followed by a new task.

Rule: a message that was accepted is seen by the model. One that comes while the agent says its last word makes the
attempt go on instead of ending.
"""

from dataclasses import dataclass

from chargehand.domain.access import Principal, Scope
from chargehand.domain.agent import RuntimeKind
from chargehand.domain.audit import Action
from chargehand.domain.history import EventKind
from chargehand.domain.task import FINAL, Task, TaskOrder
from chargehand.domain.values import JsonObject, check_json
from chargehand.errors import IllegalMove, InvalidInput
from chargehand.service.agents import Agents
from chargehand.service.audit_records import record
from chargehand.service.endings import Hints
from chargehand.service.tasks import Tasks
from chargehand.service.visibility import seen
from chargehand.store import history, messages, tasks
from chargehand.store.database import Database, retried

MAX_CHARACTERS = 100_000
MAX_MESSAGES = 1_000


@dataclass(frozen=True, slots=True)
class Sent:
    """The task that has the message: the one it was sent to, or the one that follows it."""

    task: Task
    is_new: bool


class Messages:
    """Messages to tasks."""

    def __init__(self, db: Database, agents: Agents, hints: Hints, orders: Tasks) -> None:
        self._db = db
        self._agents = agents
        self._hints = hints
        self._orders = orders

    async def send(self, who: Principal, task_id: str, text: str) -> Sent:
        """Tell a task something. TaskNotFound, InvalidInput, IllegalMove for an agent that no model runs."""
        who.require(Scope.TASKS_WRITE)
        async with self._db.read(who.tenant) as tx:
            task = await seen(tx, who, (await tasks.get(tx, [task_id])).get(task_id), task_id)
        check_json(text)
        if not text.strip() or len(text) > MAX_CHARACTERS:
            raise InvalidInput(f"a message has 1 to {MAX_CHARACTERS:,} characters")
        definition = await self._agents.version(task.tenant, task.agent_id, task.agent_version)
        if definition.runtime is not RuntimeKind.MODEL:
            raise IllegalMove(
                f"agent {task.agent_id!r} is of runtime {definition.runtime.value}; only a model takes messages"
            )
        if task.status not in FINAL:
            told = await self._tell(who, task_id, text)
            if told is not None:
                return Sent(told, is_new=False)
        return Sent(await self._follow(who, task, text), is_new=True)

    @retried
    async def _tell(self, who: Principal, task_id: str, text: str) -> Task | None:
        """Store the message; None when the task has ended meanwhile."""
        async with self._db.write(who.tenant) as tx:
            task = (await tasks.hold(tx, [task_id]))[task_id]
            if task.status in FINAL:
                return None
            if await messages.count(tx, task_id) >= MAX_MESSAGES:
                raise IllegalMove(f"task {task_id} has been sent {MAX_MESSAGES} messages; send to a new task")
            number = await messages.add(tx, task_id, text, by=who.id)
            # An attempt that is about to end sees that something came.
            await tasks.note_wake(tx, task_id)
            data: JsonObject = {"number": number, "by": who.id, "summary": text.strip().splitlines()[0][:120]}
            await history.append(tx, [(task_id, EventKind.MESSAGE_RECEIVED, data)])
            self._hints.changed(tx, task_id)
            await record(tx, who, Action.TASK_MESSAGED, task_id, {"number": number})
        return task

    async def _follow(self, who: Principal, task: Task, text: str) -> Task:
        """A new task of the same agent, context and workspace that goes on from the conversation."""
        order = TaskOrder(
            agent_id=task.agent_id,
            task_data={"prompt": text},
            context_id=task.context_id,
            labels=task.labels,
            priority=task.priority,
            follows_id=task.id,
            workspace_id=await self._lasting_workspace(task),
        )
        return (await self._orders.submit(who, order)).task

    async def _lasting_workspace(self, task: Task) -> str:
        """Whose workspace the task works in; for a copy, which does not outlast its task, whose it is a copy of."""
        place = task.workspace_id or task.root_id
        async with self._db.read() as tx:
            while (owner := (await tasks.get(tx, [place])).get(place)) and owner.parent_id is not None:
                parent = (await tasks.get(tx, [owner.parent_id]))[owner.parent_id]
                place = parent.workspace_id or parent.root_id
        return place
