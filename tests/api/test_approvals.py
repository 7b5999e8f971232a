"""Approvals over HTTP: listed, read, decided once, and by nobody who may not."""

from dataclasses import dataclass
from datetime import timedelta

import httpx2
import pytest

from chargehand.domain.access import Scope
from chargehand.domain.approval import Approval, ApprovalStatus, call_hash
from chargehand.domain.history import StepKind, StepStatus
from chargehand.domain.task import Reason, Suspended
from chargehand.domain.values import JsonObject
from tests.api.service import STRANGER, Service

pytestmark = pytest.mark.usefixtures("database")

CALL: JsonObject = {"command": "git push"}


@dataclass(frozen=True, slots=True)
class Waiting:
    task_id: str
    id: str


async def a_waiting_call(service: Service, client: httpx2.AsyncClient, number: int = 1) -> Waiting:
    """A task whose call waits for a person."""
    await client.post("/agents/echo/tasks", json={"task_data": {}})
    task = await service.worker.claim()
    journal = service.worker.journal
    step = journal.new_step(task, "0/0.approval", StepKind.APPROVAL, "Bash", {}, StepStatus.OPEN)
    approval = Approval(
        id=f"0190f7a2-91b4-7c3d-8a55-{number:012d}",
        tenant=task.tenant,
        task_id=task.id,
        root_id=task.root_id,
        path=step.path,
        agent_id=task.agent_id,
        tool="Bash",
        arguments=CALL,
        arguments_hash=call_hash("Bash", CALL),
        why="the operator's policy: ask Bash(git push:*)",
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
    return Waiting(task.id, approval.id)


async def test_an_approval_is_listed_read_and_decided_once(
    service: Service, client: httpx2.AsyncClient
) -> None:
    waiting = await a_waiting_call(service, client)
    listed = (await client.get("/approvals?status=open")).json()["items"]
    one = (await client.get(f"/approvals/{waiting.id}")).json()
    body = {"decision": "approve", "arguments_hash": one["arguments_hash"]}

    decided = await client.post(f"/approvals/{waiting.id}", json=body)
    same = await client.post(f"/approvals/{waiting.id}", json=body)
    other = await client.post(f"/approvals/{waiting.id}", json={"decision": "deny"})

    assert listed == [one]
    assert (one["tool"], one["arguments"], one["status"]) == ("Bash", CALL, "open")
    assert (decided.status_code, decided.json()["status"]) == (200, "approved")
    assert decided.json()["decided_by"]
    assert same.json() == decided.json()
    assert (other.status_code, other.json()["code"]) == (409, "task.illegal_move")
    assert (await client.get("/approvals?status=open")).json()["items"] == []
    assert (await client.get(f"/tasks/{waiting.task_id}")).json()["status"] == "pending"


async def test_approvals_are_listed_in_pages_newest_first(
    service: Service, client: httpx2.AsyncClient
) -> None:
    all_of_them = [await a_waiting_call(service, client, number) for number in (1, 2, 3)]

    first = (await client.get("/approvals?limit=2")).json()
    second = (await client.get(f"/approvals?limit=2&cursor={first['next_cursor']}")).json()
    of_task = (await client.get(f"/approvals?task_id={all_of_them[1].task_id}")).json()

    pages = [[one["id"] for one in page["items"]] for page in (first, second, of_task)]
    assert pages == [[all_of_them[2].id, all_of_them[1].id], [all_of_them[0].id], [all_of_them[1].id]]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"decision": "maybe"}, 422, "invalid_input"),
        ({}, 422, "invalid_input"),
        ({"decision": "approve", "arguments_hash": "0" * 64}, 409, "approval.stale"),
        ({"decision": "approve", "arguments_hash": "x"}, 422, "invalid_input"),
        ({"decision": "approve", "arguments": [1]}, 422, "invalid_input"),
        ({"decision": "deny", "arguments": {}}, 422, "invalid_input"),
        ({"decision": "deny", "reason": "x" * 2001}, 422, "invalid_input"),
        ({"decision": "deny", "until": "x"}, 422, "invalid_input"),
    ],
)
async def test_a_decision_that_is_none_changes_nothing(
    service: Service, client: httpx2.AsyncClient, body: JsonObject, status: int, code: str
) -> None:
    waiting = await a_waiting_call(service, client)

    refused = await client.post(f"/approvals/{waiting.id}", json=body)

    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert (await client.get(f"/approvals/{waiting.id}")).json()["status"] == "open"


async def test_another_tenant_finds_no_approval_and_a_worker_may_not_decide(
    service: Service, client: httpx2.AsyncClient
) -> None:
    waiting = await a_waiting_call(service, client)
    path, body = f"/approvals/{waiting.id}", {"decision": "approve"}

    async with service.client(await service.key_with(Scope.ADMIN, who=STRANGER)) as other:
        foreign = [await other.get(path), await other.post(path, json=body)]
        assert (await other.get("/approvals")).json()["items"] == []
    async with service.client(await service.key_with(Scope.TASKS_WRITE, Scope.TASKS_READ)) as worker:
        refused = await worker.post(path, json=body)

    assert [(one.status_code, one.json()["code"]) for one in foreign] == [(404, "approval.not_found")] * 2
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert (await client.get("/approvals/nonsense")).status_code == 404
    assert (await client.get("/approvals?status=opened")).status_code == 422


async def test_the_approval_of_a_canceled_task_is_withdrawn(
    service: Service, client: httpx2.AsyncClient
) -> None:
    waiting = await a_waiting_call(service, client)

    await client.post(f"/tasks/{waiting.task_id}/cancel")

    assert (await client.get(f"/approvals/{waiting.id}")).json()["status"] == "withdrawn"
    late = await client.post(f"/approvals/{waiting.id}", json={"decision": "approve"})
    assert late.status_code == 409
