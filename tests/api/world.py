"""What the matrix is tried on: things of two tenants, and of an agent that a narrowed key is not for.

Of each kind the world has one thing that is the caller's, one that another tenant has and one that is outside of what
a key is narrowed to; test_matrix.py sends their ids and compares with what an absent id gets.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import httpx2

from chargehand.domain.access import DEFAULT_TENANT, Principal, Scope
from chargehand.domain.approval import Approval, ApprovalStatus, call_hash
from chargehand.domain.history import StepKind, StepStatus
from chargehand.domain.schedule import ScheduleOrder
from chargehand.domain.task import Reason, Suspended, Task, TaskOrder
from chargehand.domain.webhook import WebhookOrder
from tests.api.matrix import ABSENT, ENTRIES, request_of
from tests.api.service import OWNER, STRANGER, Service

OTHER_TENANT = STRANGER.tenant
Ids = Mapping[str, str]
"""Kind → id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The things, and the service that has them."""

    service: Service
    mine: Ids
    foreign: Ids
    outside: Ids

    async def send(
        self,
        client: httpx2.AsyncClient,
        name: str,
        *,
        path: Ids,
        query: Ids | None = None,
        names: Ids | None = None,
    ) -> httpx2.Response:
        """A route's request with these ids (kind → id) in its path; `query`, `names`: parameters and fields."""
        method, address, body = request_of(name, {**self.mine, **path})
        if body is not None:
            own = {field: self.mine[kind] for field, kind in ENTRIES[name].names.items()}
            body |= {**own, **(names or {})}
        return await client.request(method, address, params=query, json=body)


async def a_world(service: Service) -> World:
    """The things of both tenants."""
    for tenant_id in (OTHER_TENANT, "sleepy"):
        await service.services.tenants.create(OWNER, tenant_id, with_key=False)
    mine = await _things(service, OWNER, "ours")
    foreign = await _things(service, STRANGER, "theirs")
    outside = await _things(service, OWNER, "beyond")
    return World(service=service, mine=mine, foreign=foreign, outside=outside)


async def _things(service: Service, who: Principal, agent_id: str) -> Ids:
    """One of each kind, for this agent of the caller's tenant."""
    block = "chargehand:\n  runtime: function\n  function: f\n"
    source = f"---\nname: {agent_id}\ndescription: Does it.\n{block}---\nDo it.\n"
    agent, _ = await service.services.agents.publish(who, source)
    task = await _a_task_that_asks(service, who, agent_id)
    schedule = await service.services.schedules.create(
        who, ScheduleOrder(name=f"of-{agent_id}", cron="@daily", agent_id=agent_id, task_data={})
    )
    _, key = await service.services.keys.issue(
        who, f"of-{agent_id}", frozenset({Scope.TASKS_READ}), agents=[agent_id]
    )
    webhook = await service.services.webhooks.create(
        who, WebhookOrder(url=f"https://{agent_id}.invalid/hook")
    )
    secret = f"OF_{agent_id.upper()}"
    await service.services.secrets.put(who, secret, f"the secret of {agent_id}")
    return {
        "agent": agent_id,
        "approval": await _an_approval(service, who, agent_id),
        "context": task.context_id,
        "cursor": _cursor(task.id),
        "delivery": (await service.services.webhooks.test(who, webhook.webhook.id)).id,
        "key": key.id,
        "schedule": schedule.id,
        "secret": secret,
        "task": task.id,
        "webhook": webhook.webhook.id,
        "tenant": OTHER_TENANT if who.tenant == DEFAULT_TENANT else DEFAULT_TENANT,
        "version": agent.version,
        **{kind: ABSENT[kind] for kind in ("file", "mcp_server", "mcp_tool", "name")},
    }


async def _running(service: Service, who: Principal, agent_id: str) -> Task:
    await service.services.tasks.submit(who, TaskOrder(agent_id=agent_id, task_data={}))
    return await service.worker.claim()


async def _a_task_that_asks(service: Service, who: Principal, agent_id: str) -> Task:
    task = await _running(service, who, agent_id)
    await service.worker.deliver(task, "report", {"a.txt": agent_id.encode()}, is_folder=True)
    await service.worker.ask(task, "0/0", {"question": "Go on?"})
    return task


async def _an_approval(service: Service, who: Principal, agent_id: str) -> str:
    task = await _running(service, who, agent_id)
    journal = service.worker.journal
    step = journal.new_step(task, "0/0.approval", StepKind.APPROVAL, "Bash", {}, StepStatus.OPEN)
    approval = Approval(
        id=task.id,
        tenant=task.tenant,
        task_id=task.id,
        root_id=task.root_id,
        path=step.path,
        agent_id=task.agent_id,
        tool="Bash",
        arguments={},
        arguments_hash=call_hash("Bash", {}),
        why="the operator's policy",
        status=ApprovalStatus.OPEN,
        default_action="deny",
        edited_arguments=None,
        comment=None,
        created_at=task.updated_at,
        expires_at=task.updated_at + timedelta(days=7),
        decided_at=None,
        decided_by=None,
    )
    await journal.ask_approval(task, step, approval)
    await service.worker.finish(task, Suspended(reason=Reason.APPROVAL, until=approval.expires_at))
    return approval.id


def _cursor(task_id: str) -> str:
    text = json.dumps({"before": task_id}, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()
