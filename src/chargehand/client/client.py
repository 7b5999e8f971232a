"""The SDK's client: everything the REST API offers, typed, in one class.

Rule: it only carries; what is sent and what an answer means is in calls.py and answers.py. A call that can be
repeated without harm is sent again after a lost connection; a stream of events goes on where it broke.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from types import TracebackType
from typing import BinaryIO, Self, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from chargehand.client.access import AccessCalls
from chargehand.client.answers import (
    answer_of,
    delta_of,
    error_of,
    event_of,
    not_chargehand,
    require_success,
    retry_after,
)
from chargehand.client.calls import (
    DEFAULT_URL,
    Call,
    checked_key,
    is_loopback,
    path_of,
    sending,
    service_url,
    wait_seconds_of,
)
from chargehand.client.webhooks import WebhookCalls
from chargehand.domain.history import MODEL_DELTA, TERMINAL_EVENTS
from chargehand.domain.task import FINAL
from chargehand.domain.values import JsonObject, JsonValue
from chargehand.errors import ChargehandError, TooManyRequests, Unavailable
from chargehand.wire import rest
from chargehand.wire.agents import (
    AgentBody,
    AgentList,
    AgentPublished,
    AgentSummary,
    AgentVersionBody,
    AgentVersionList,
    McpToolBody,
    McpToolList,
)
from chargehand.wire.audit import AuditPage
from chargehand.wire.limits import TenantLimitsAnswer, TenantLimitsBody
from chargehand.wire.retention import PruneAnswer, PruneRequest, SweepAnswer
from chargehand.wire.schedules import ScheduleBody, SchedulePage
from chargehand.wire.secrets import RewrapAnswer, SecretBody, SecretList
from chargehand.wire.spending import UsageBody

MAX_EVENT_BYTES = 16 * 1024 * 1024
PAGE = 500
STEADY_SECONDS = 5.0
"""A stream that lasted so long was a good one, even if nothing happened meanwhile."""
_RETRIED = frozenset({429, 502, 503, 504})
_Answer = TypeVar("_Answer", bound=BaseModel)


class AsyncClient(AccessCalls):
    """A service's API. Use it as an async context manager; it may be shared by many coroutines."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        key: str | None = None,
        *,
        patience_seconds: float = 5.0,
        reconnect_seconds: float = 120.0,
        timeout_seconds: float = 30.0,
    ) -> None:
        """`patience_seconds`: how long a repeatable call is tried; `reconnect_seconds`: a stream."""
        self.url = service_url(url)
        self._patience = patience_seconds
        self._reconnect = reconnect_seconds
        self._timeout = timeout_seconds
        headers = {"User-Agent": "chargehand-client"}
        if key:
            headers["Authorization"] = f"Bearer {checked_key(key)}"
        self._http = httpx2.AsyncClient(
            base_url=self.url,
            headers=headers,
            timeout=timeout_seconds,
            # A tree of tasks is followed by one stream each.
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=20),
            # A proxy for the world outside does not lead to this machine.
            trust_env=not is_loopback(self.url),
            verify=self.url.startswith("https:"),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    # Agents

    async def agents(self) -> list[AgentSummary]:
        """Every agent's current version."""
        return (await self._get(AgentList, "agents")).items

    async def agent(self, agent_id: str) -> AgentBody:
        """One agent, with its definition."""
        return await self._get(AgentBody, "agents", agent_id)

    async def put_agent(self, agent_id: str, source: str) -> AgentPublished:
        """Register a definition as the agent's current version."""
        call = sending("PUT", path_of("agents", agent_id), {"source": source}, repeatable=True)
        return answer_of(AgentPublished, await self.send(call))

    async def agent_versions(self, agent_id: str) -> list[AgentVersionBody]:
        """An agent's versions, newest first."""
        return (await self._get(AgentVersionList, "agents", agent_id, "versions")).items

    # Tools of MCP servers

    async def mcp_tools(self) -> McpToolList:
        """What the configured servers offer, and what was approved of it."""
        return await self._get(McpToolList, "mcp", "tools")

    async def approve_mcp_tool(self, server: str, tool: str, seen_hash: str) -> McpToolBody:
        """Approve a tool as it was when this hash was read."""
        path = path_of("mcp", "tools", server, tool, "approve")
        call = sending("POST", path, {"seen_hash": seen_hash}, repeatable=True)
        return answer_of(McpToolBody, await self.send(call))

    # Tasks

    async def submit(self, call: Call) -> rest.TaskBody:
        """Send a `submission`; the stored task."""
        return answer_of(rest.TaskBody, await self.send(call))

    async def task(self, task_id: str) -> rest.TaskBody:
        """One task as it stands."""
        return await self._get(rest.TaskBody, "tasks", task_id)

    async def tasks(self, call: Call) -> rest.TaskPage:
        """A page of a `listing`."""
        return answer_of(rest.TaskPage, await self.send(call))

    async def children(self, task_id: str) -> list[rest.TaskBody]:
        """The tasks that a task has delegated, oldest first."""
        return (await self._get(rest.TaskList, "tasks", task_id, "children")).items

    async def steps(self, task_id: str) -> list[rest.StepBody]:
        """A task's journal."""
        return (await self._get(rest.StepList, "tasks", task_id, "steps")).items

    async def cancel(self, task_id: str) -> rest.CancelBody:
        """Cancel a task and all that is open below it."""
        call = Call(method="POST", path=path_of("tasks", task_id, "cancel"))
        return answer_of(rest.CancelBody, await self.send(call))

    async def retry(self, task_id: str, *, budget: JsonObject | None = None) -> rest.TaskBody:
        """Give a failed or canceled task another try; `budget` is what its tree may use from now on, in all."""
        path = path_of("tasks", task_id, "retry")
        if budget is None:
            call = Call(method="POST", path=path, repeatable=False)
        else:
            call = sending("POST", path, {"budget": budget})
        return answer_of(rest.TaskBody, await self.send(call))

    async def questions(self, task_id: str) -> list[rest.QuestionBody]:
        """The questions that a task waits for."""
        return (await self._get(rest.QuestionList, "tasks", task_id, "questions")).items

    async def answer(self, task_id: str, question: str, answer: JsonValue) -> None:
        """Answer a question."""
        body = {"question": question, "answer": answer}
        require_success(await self.send(sending("POST", path_of("tasks", task_id, "answers"), body)))

    async def send_message(self, task_id: str, text: str) -> rest.TaskBody:
        """Tell a task something; the task that has the message, which is a new one when this one had ended."""
        call = sending("POST", path_of("tasks", task_id, "messages"), {"text": text})
        return answer_of(rest.TaskBody, await self.send(call))

    # Approvals

    async def approvals(self, call: Call) -> rest.ApprovalPage:
        """A page of an `approval_listing`."""
        return answer_of(rest.ApprovalPage, await self.send(call))

    async def approval(self, approval_id: str) -> rest.ApprovalBody:
        """One approval."""
        return await self._get(rest.ApprovalBody, "approvals", approval_id)

    async def decide(self, call: Call) -> rest.ApprovalBody:
        """Send a `decision`; the approval as it was decided."""
        return answer_of(rest.ApprovalBody, await self.send(call))

    # Schedules

    async def schedules(self, call: Call) -> SchedulePage:
        """A page of a `schedule_listing`."""
        return answer_of(SchedulePage, await self.send(call))

    async def schedule(self, schedule_id: str) -> ScheduleBody:
        """One schedule; `submit` sends a `schedule_run` of it."""
        return await self._get(ScheduleBody, "schedules", schedule_id)

    async def put_schedule(self, call: Call) -> ScheduleBody:
        """Send a `schedule_order` or a `schedule_change`; the schedule as it stands."""
        return answer_of(ScheduleBody, await self.send(call))

    async def remove_schedule(self, schedule_id: str) -> None:
        """End a schedule."""
        call = Call(method="DELETE", path=path_of("schedules", schedule_id), repeatable=False)
        require_success(await self.send(call))

    # Secrets

    async def secrets(self) -> list[SecretBody]:
        """The tenant's secrets, without their values."""
        return (await self._get(SecretList, "secrets")).items

    async def put_secret(self, name: str, value: str) -> SecretBody:
        """Give a secret a value, which nothing tells again."""
        call = sending("PUT", path_of("secrets", name), {"value": value}, repeatable=True)
        return answer_of(SecretBody, await self.send(call))

    async def delete_secret(self, name: str) -> None:
        """Delete a secret."""
        call = Call(method="DELETE", path=path_of("secrets", name), repeatable=False)
        require_success(await self.send(call))

    async def rewrap_secrets(self) -> RewrapAnswer:
        """Encrypt every tenant's data key with the first master key."""
        return answer_of(RewrapAnswer, await self.send(Call(method="POST", path=path_of("admin", "rewrap"))))

    # The audit

    async def audit(self, call: Call) -> AuditPage:
        """A page of an `audit_listing`."""
        return answer_of(AuditPage, await self.send(call))

    async def audit_export(self, *, after: int = 0) -> AsyncGenerator[str, None]:
        """Every entry in order, behind a number, each as a line of JSON."""
        request = self._http.build_request("GET", path_of("audit", "export"), params={"after": str(after)})
        async with self._streaming(request) as response:
            async for line in response.aiter_lines():
                yield line

    # Webhooks

    @property
    def webhooks(self) -> WebhookCalls:
        """Where events are sent."""
        return WebhookCalls(self.send)

    # Deliverables

    async def deliverables(self, task_id: str) -> list[rest.DeliverableBody]:
        """What a task has delivered, with the evidence of its checks."""
        return (await self._get(rest.DeliverableList, "tasks", task_id, "deliverables")).items

    async def save(self, task_id: str, into: BinaryIO, *, name: str | None = None) -> None:
        """Write a deliverable (a folder comes as a zip), or all of them as one zip, into an open file."""
        last = ("deliverables", name) if name is not None else ("deliverables.zip",)
        request = self._http.build_request("GET", path_of("tasks", task_id, *last))
        async with self._streaming(request) as response:
            async for chunk in response.aiter_bytes():
                into.write(chunk)

    # The service

    async def health(self) -> rest.HealthBody:
        """Whether a Chargehand service answers here; needs no key."""
        return await self._get(rest.HealthBody, "health")

    async def ready(self) -> rest.ReadyBody:
        """Whether the service can take and carry out tasks."""
        response = await self.send(Call(method="GET", path="/health/ready", repeatable=False))
        if response.status_code == 503:
            try:
                return rest.ReadyBody.model_validate_json(response.content)
            except ValidationError:
                raise error_of(response) from None
        return answer_of(rest.ReadyBody, response)

    async def whoami(self) -> rest.WhoAmI:
        """Whose key this is and what it may do."""
        return await self._get(rest.WhoAmI, "whoami")

    # What models cost

    async def usage(self, call: Call) -> UsageBody:
        """The sums of a `usage_report`."""
        return answer_of(UsageBody, await self.send(call))

    # What tenants may use

    async def tenant_limits(self, tenant: str) -> TenantLimitsAnswer:
        """A tenant's limits: its own, and those that hold for it."""
        return await self._get(TenantLimitsAnswer, "tenants", tenant, "limits")

    async def put_tenant_limits(self, tenant: str, limits: TenantLimitsBody) -> TenantLimitsAnswer:
        """Give a tenant limits of its own instead of those before."""
        path = path_of("tenants", tenant, "limits")
        call = sending("PUT", path, limits.model_dump(exclude_none=True), repeatable=True)
        return answer_of(TenantLimitsAnswer, await self.send(call))

    # What is no longer kept

    async def prune(self, wanted: PruneRequest) -> PruneAnswer:
        """Delete ended trees of tasks for about a second; go on with `after` of the answer."""
        call = sending(
            "POST", path_of("admin", "prune"), wanted.model_dump(exclude_none=True), repeatable=True
        )
        return answer_of(PruneAnswer, await self.send(call))

    async def sweep(self) -> SweepAnswer:
        """Remove workspaces and stored content that no task names any more; it may take minutes."""
        call = Call(
            method="POST", path=path_of("admin", "sweep"), headers={"Prefer": "wait=3600"}, repeatable=True
        )
        return answer_of(SweepAnswer, await self.send(call))

    # Events

    async def events(self, task_id: str, *, after: int = 0) -> AsyncIterator[rest.EventBody]:
        """The events that there are after a sequence number."""
        while True:
            query = [("after", str(after)), ("limit", str(PAGE))]
            call = Call(method="GET", path=path_of("tasks", task_id, "events"), query=query)
            page = answer_of(rest.EventPage, await self.send(call))
            for event in page.items:
                yield event
            if len(page.items) < PAGE:
                return
            after = page.next_after

    async def follow(
        self,
        task_id: str,
        *,
        after: int = 0,
        on_trouble: Callable[[str], None] | None = None,
        on_delta: Callable[[rest.DeltaBody], None] | None = None,
    ) -> AsyncIterator[rest.EventBody]:
        """Events as they come, each once and in order, until the one that ends the task.

        `on_delta` is told what a model is saying meanwhile.

        A broken stream is taken up again after the last event seen. `on_trouble` is told of each break; after
        `reconnect_seconds` without a connection it is Unavailable.
        """
        lost_at: float | None = None
        while True:
            ended, opened_at = False, None
            trouble: ChargehandError = Unavailable("the service ended the stream")
            try:
                async with aclosing(self._stream(task_id, after, on_delta)) as stream:
                    async for event in stream:
                        if event is None:
                            opened_at = time.monotonic()
                        elif event.sequence > after:
                            lost_at, after, ended = None, event.sequence, event.kind in TERMINAL_EVENTS
                            yield event
                if ended or await self._has_ended(task_id, after):
                    return
            except (Unavailable, TooManyRequests) as error:
                trouble = error
            now = time.monotonic()
            if lost_at is None or (opened_at is not None and now - opened_at > STEADY_SECONDS):
                lost_at = now
            if now - lost_at > self._reconnect:
                raise trouble
            if on_trouble is not None:
                on_trouble(str(trouble))
            await asyncio.sleep(_pause(now - lost_at))

    async def _stream(
        self, task_id: str, after: int, on_delta: Callable[[rest.DeltaBody], None] | None
    ) -> AsyncGenerator[rest.EventBody | None, None]:
        """One connection's events; None first, when the service has accepted it. Nothing: all is known."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        request = self._http.build_request("GET", path_of("tasks", task_id, "events"), headers=headers)
        async with self._streaming(request) as response:
            if response.status_code == 204:
                return
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                raise not_chargehand(response)
            yield None
            async for sent in httpx2.EventSource(response, max_event_size=MAX_EVENT_BYTES):
                if sent.event == MODEL_DELTA:
                    if on_delta is not None:
                        on_delta(delta_of(sent.data, response))
                elif sent.data:
                    yield event_of(sent.data, response)

    async def _has_ended(self, task_id: str, after: int) -> bool:
        task = await self.task(task_id)
        return task.status in FINAL and task.last_event <= after

    # Carrying

    async def _get(self, model: type[_Answer], *parts: str) -> _Answer:
        return answer_of(model, await self.send(Call(method="GET", path=path_of(*parts))))

    @asynccontextmanager
    async def _streaming(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Response]:
        """The answer to a request, read as it comes. Unavailable: it did not come, or not to its end."""
        try:
            response = await self._http.send(request, stream=True)
            try:
                if not response.is_success:
                    await response.aread()
                    raise error_of(response)
                yield response
            finally:
                await response.aclose()
        except httpx2.TransportError as error:
            raise self._out_of_reach(error) from error

    async def send(self, call: Call) -> httpx2.Response:
        """Send a call; again while patience lasts, when that does no harm. Unavailable: no answer came."""
        deadline = time.monotonic() + self._patience
        pause = 0.1
        while True:
            try:
                response = await self._http.request(
                    call.method,
                    call.path,
                    params=list(call.query),
                    headers=dict(call.headers),
                    content=call.body,
                    timeout=self._timeout + wait_seconds_of(call),
                )
            except httpx2.TransportError as error:
                if not call.repeatable or time.monotonic() + pause > deadline:
                    raise self._out_of_reach(error) from error
            else:
                wait = retry_after(response, pause)
                if (
                    response.status_code not in _RETRIED
                    or not call.repeatable
                    or time.monotonic() + wait > deadline
                ):
                    return response
                pause = wait
            await asyncio.sleep(pause)
            pause = min(pause * 2, 2.0)

    def _out_of_reach(self, error: Exception) -> Unavailable:
        if isinstance(error, httpx2.TimeoutException):
            return Unavailable(f"{self.url} did not answer in {self._timeout:g} s")
        return Unavailable(f"no service answers at {self.url} ({str(error) or type(error).__name__})")


def _pause(lost_seconds: float) -> float:
    """A little longer the longer it lasts, and not all at once after a restart."""
    return min(0.2 + lost_seconds / 4, 3.0) * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, no secret
