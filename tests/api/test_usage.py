"""Usage over HTTP, and budgets on tasks and retries: what is taken, what is refused, who sees what."""

from datetime import UTC, datetime

import httpx2
import pytest

from chargehand.domain.access import Scope
from chargehand.domain.charge import Estimate, Settlement, UnknownPrice
from chargehand.domain.history import StepKind, StepStatus
from chargehand.domain.task import Completed, Failed, Reason, TaskError
from tests.api.service import STRANGER, Service

pytestmark = pytest.mark.usefixtures("database")


async def a_paid_task(service: Service, client: httpx2.AsyncClient, **body: object) -> str:
    """A task of which one call was answered: 0.015 USD for 1,100 tokens."""
    accepted = await client.post("/agents/echo/tasks", json={"task_data": {}, **body})
    [task] = await service.worker.attempts.claim("w", limit=1)
    journal = service.worker.journal
    step = journal.new_step(task, "0/0", StepKind.MODEL, "model", {}, StepStatus.RUNNING)
    estimate = Estimate(
        model="anthropic:m",
        input_tokens=2_000,
        max_output_tokens=1_000,
        input_usd_nanos=20_000_000,
        output_nanos_per_million=50 * 10**9,
        unknown_price=UnknownPrice.AUTO,
    )
    used = Settlement(
        model="anthropic:m",
        usd_nanos=15_000_000,
        input_tokens=1_000,
        output_tokens=100,
        cache_read_tokens=10,
        cache_write_tokens=0,
    )
    await journal.begin(task, step, estimate=estimate)
    await journal.end(task, step, "said", used=used)
    await service.worker.attempts.finish(task, Completed())
    return accepted.json()["id"]


async def test_usage_is_summed_up_by_what_is_asked_for(service: Service, client: httpx2.AsyncClient) -> None:
    first, second = [await a_paid_task(service, client) for _ in range(2)]
    today = datetime.now(UTC).date().isoformat()

    for by, groups in (
        ("day", [today]),
        ("agent", ["echo"]),
        ("model", ["anthropic:m"]),
        ("task", [second, first]),
        ("tree", [second, first]),
    ):
        answer = await client.get("/usage", params={"group_by": by, "from": today, "to": today})
        assert answer.status_code == 200, answer.text
        assert [one["group"] for one in answer.json()["items"]] == groups
        assert (answer.json()["total"]["usd"], answer.json()["total"]["calls"]) == ("0.03", 2)
    only = (await client.get("/usage", params={"root_id": first, "agent_id": "echo"})).json()
    assert only["total"] == {
        "calls": 1,
        "usd": "0.015",
        "unpriced_calls": 0,
        "input_tokens": 1000,
        "output_tokens": 100,
        "cache_read_tokens": 10,
        "cache_write_tokens": 0,
        "lost_calls": 0,
        "lost_usd": "0.00",
        "lost_tokens": 0,
        "reserved_usd": "0.00",
        "reserved_tokens": 0,
    }
    cut = (await client.get("/usage", params={"group_by": "task", "limit": "1"})).json()
    assert (len(cut["items"]), cut["is_complete"], cut["total"]["calls"]) == (1, False, 2)
    assert (await client.get("/usage", params={"to": "2001-01-01"})).json()["total"]["calls"] == 0


async def test_a_task_tells_what_it_has_spent(service: Service, client: httpx2.AsyncClient) -> None:
    task_id = await a_paid_task(service, client, budget={"usd": 1, "tokens": 5000})

    task = (await client.get(f"/tasks/{task_id}")).json()

    assert task["spent"] == {"usd": "0.015", "tokens": 1100, "steps": 1, "tool_calls": 0, "children": 0}
    assert (task["budget"]["usd"], task["budget"]["tokens"], task["budget"]["tool_calls"]) == (
        "1.00",
        5000,
        None,
    )


async def test_usage_is_the_tenants_own_and_needs_the_scope(
    service: Service, client: httpx2.AsyncClient
) -> None:
    task_id = await a_paid_task(service, client)

    async with service.client(await service.key_with(Scope.TASKS_READ, who=STRANGER)) as stranger:
        theirs = await stranger.get("/usage", params={"root_id": task_id})
    async with service.client(await service.key_with(Scope.AGENTS_READ)) as unfit:
        refused = await unfit.get("/usage")

    assert theirs.json()["total"]["calls"] == 0
    assert refused.status_code == 403


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"group_by": "colour"}, "one of: task, tree, agent, model, day"),
        ({"from": "yesterday"}, "write it like 2030-01-31"),
        ({"from": "2030-02-30"}, "write it like 2030-01-31"),
        ({"from": "2030-01-02", "to": "2030-01-01"}, "lies after"),
        ({"root_id": "x"}, "root_id"),
        ({"form": "2030-01-01"}, "did you mean 'from'"),
        ({"limit": "0"}, "limit"),
    ],
)
async def test_a_query_that_is_none_is_told(
    client: httpx2.AsyncClient, query: dict[str, str], said: str
) -> None:
    answer = await client.get("/usage", params=query)

    assert answer.status_code == 422
    assert said in answer.json()["detail"]


@pytest.mark.parametrize(
    "budget",
    [
        {"usd": "-1"},
        {"usd": "1e3"},
        {"usd": "much"},
        {"tokens": 0},
        {"usdd": 1},
        {"tool_calls": 1.5},
        [],
        "1.00",
    ],
)
async def test_a_budget_that_is_none_is_refused(client: httpx2.AsyncClient, budget: object) -> None:
    answer = await client.post("/agents/echo/tasks", json={"task_data": {}, "budget": budget})

    assert answer.status_code == 422
    assert answer.json()["findings"][0]["where"].startswith("budget")
    assert "constrained" not in answer.text


async def test_a_retry_may_bring_a_budget_or_no_body_at_all(
    service: Service, client: httpx2.AsyncClient
) -> None:
    order = {"task_data": {}, "budget": {"usd": "1.00"}}
    task_id = (await client.post("/agents/echo/tasks", json=order)).json()["id"]
    failed = Failed(error=TaskError(reason=Reason.BUDGET_EXHAUSTED, message="used up"))
    seen: list[object] = []
    for body in (b"", b'{"budget": {"usd": "2.50"}}', b"{}"):
        [task] = await service.worker.attempts.claim("w", limit=1)
        await service.worker.attempts.finish(task, failed)
        headers = {"Content-Type": "application/json"} if body else {}
        answer = await client.post(f"/tasks/{task_id}/retry", content=body, headers=headers)
        assert answer.status_code == 202, answer.text
        seen.append(answer.json()["budget"]["usd"])

    assert seen == ["1.00", "2.50", "2.50"]
