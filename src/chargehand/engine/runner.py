"""One claimed attempt, from lease to outcome: the main flow.

Rule: what an agent does wrong is an outcome, never an exception that leaves here; a lost lease drops the
work.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial

import structlog

from chargehand.clock import Clock
from chargehand.domain.agent import AgentDefinition
from chargehand.domain.deliverable import Evidence
from chargehand.domain.history import Step, StepKind
from chargehand.domain.known_secrets import taken_out_of, values_taken_out_of, working_for
from chargehand.domain.policy import Policy
from chargehand.domain.task import (
    Canceled,
    Completed,
    Failed,
    Outcome,
    Reason,
    Released,
    Suspended,
    Task,
    TaskError,
)
from chargehand.domain.values import JsonObject, JsonValue, check_json, plain_text
from chargehand.engine.copies import Copies
from chargehand.engine.deadlines import KeptDeadline, kept_deadline
from chargehand.engine.workplaces import Place, Workplaces
from chargehand.errors import (
    BudgetExhausted,
    ChargehandError,
    InvalidInput,
    JournalMismatch,
    LeaseLost,
    SandboxUnavailable,
    StorageFull,
    TenantStorageFull,
    Unavailable,
)
from chargehand.runtimes.base import AgentFailure, Hands, Runtime, Stop, Suspension, refuse_when_stopping
from chargehand.runtimes.delivery import check_all, failures_before, store_all
from chargehand.runtimes.directory import Runtimes
from chargehand.runtimes.isolation import has_own_workspace
from chargehand.runtimes.journal import DurableSteps
from chargehand.service.agents import Agents
from chargehand.service.attempts import Attempts
from chargehand.service.deliveries import Deliveries
from chargehand.service.journal import Journal
from chargehand.service.lineage import agents_above, agents_below
from chargehand.service.upkeep import timed_out
from chargehand.telemetry.logs import telling
from chargehand.telemetry.runs import Telemetry
from chargehand.tools.background import Background
from chargehand.tools.base import Tool, ToolContext
from chargehand.tools.catalogue import tools_of
from chargehand.tools.ledger import ReadLedger
from chargehand.tools.mcp_tools import McpTools
from chargehand.tools.sandbox.base import Sandbox, SandboxLimits

log = structlog.stdlib.get_logger("chargehand.runner")

AFTER_FAULT = timedelta(seconds=1)
STORAGE_PAUSE_SECONDS = 2.0
MAX_MESSAGE = 2000
OWN_CANCEL = "the agent canceled its own work"

_REASON_OF: tuple[tuple[type[ChargehandError], Reason], ...] = (
    (BudgetExhausted, Reason.BUDGET_EXHAUSTED),
    (JournalMismatch, Reason.JOURNAL_MISMATCH),
    (SandboxUnavailable, Reason.SANDBOX_UNAVAILABLE),
    (TenantStorageFull, Reason.STORAGE_FULL),
    (InvalidInput, Reason.INVALID_INPUT),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """Carries attempts to their outcomes."""

    agents: Agents
    attempts: Attempts
    journal: Journal
    deliveries: Deliveries
    runtimes: Runtimes
    catalogue: Mapping[str, Tool]
    sandbox: Sandbox
    limits: SandboxLimits
    workplaces: Workplaces
    clock: Clock
    copies: Copies
    mcp: McpTools | None = None
    policy: Policy = field(default_factory=Policy)
    telemetry: Telemetry = field(default_factory=Telemetry)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    interrupted: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])
    """The tasks of attempts that the engine has canceled. An agent may cancel its own for a time-out of its own."""
    lost: set[tuple[str, int]] = field(default_factory=set[tuple[str, int]])
    """Attempts, by task and number, that are stopped because another worker may carry the task by now."""

    async def carry(self, task: Task) -> None:
        """Carry one claimed attempt to its outcome and write it. Never raises for what the agent did."""
        with working_for(task.tenant), telling(task_id=task.id, agent_id=task.agent_id, attempt=task.attempt):
            await self._carry(task)

    async def _carry(self, task: Task) -> None:
        with self.telemetry.attempt(task) as attempt:
            try:
                outcome = _without_secrets(await self._outcome(task), task.tenant)
                ended = await self._finish(task, outcome)
            except LeaseLost:
                attempt.ended(None)
                log.info("lease lost; work dropped")
                return
            attempt.ended(outcome)
        log.info("attempt ended", status=ended.status, reason=ended.reason)

    async def _finish(self, task: Task, outcome: Outcome) -> Task:
        """Write the outcome; while the database cannot be written, keep it and try again."""
        while True:
            try:
                return await self.attempts.finish(task, outcome)
            except (StorageFull, Unavailable) as error:
                if self.stopping.is_set():
                    raise
                log.warning("an outcome cannot be written yet", error=error.message)
                await self.clock.sleep_until(self.clock.now() + AFTER_FAULT, self.stopping)

    async def _outcome(self, task: Task) -> Outcome:
        kept: KeptDeadline | None = None
        try:
            look = partial(self.attempts.deadline, task)
            async with kept_deadline(task.deadline_at, self._seconds_left(task), look) as kept:
                return await self._rounds(task)
        except Suspension as wait:
            return Suspended(reason=wait.reason, until=wait.until)
        except Stop:
            return self._stopped(task, kept)
        except LeaseLost:
            raise
        except asyncio.CancelledError:
            return self._canceled(task)
        except TimeoutError:
            if kept is not None and kept.limit.expired():
                return Failed(error=timed_out(replace(task, deadline_at=kept.at)))
            return _failed(Reason.AGENT_ERROR, "the agent ran into a time-out of its own", may_retry=True)
        except AgentFailure as failure:
            return _failed(
                failure.reason, failure.message, details=failure.details, may_retry=failure.may_retry
            )
        except ChargehandError as error:
            return self._fault(task, error)
        except (Exception, SystemExit) as error:
            log.exception("the agent raised")
            return _failed(Reason.AGENT_ERROR, f"{type(error).__name__}: {error}", may_retry=True)

    def _stopped(self, task: Task, kept: KeptDeadline | None) -> Outcome:
        """No step was begun any more: by the engine, for the deadline, or after a cancel of the agent's own."""
        if self.stopping.is_set() or self._is_interrupted():
            return Released()
        if kept is not None and kept.limit.expired():
            return Failed(error=timed_out(replace(task, deadline_at=kept.at)))
        return _failed(Reason.AGENT_ERROR, OWN_CANCEL, may_retry=True)

    def _canceled(self, task: Task) -> Outcome:
        """By the engine: a stop gives the task back, anything else is a caller's cancel. Or by the agent.

        LeaseLost when the engine is not sure any more that the attempt is its own.
        """
        current = asyncio.current_task()
        if current is None or not self._is_interrupted():
            return _failed(Reason.AGENT_ERROR, OWN_CANCEL, may_retry=True)
        # The cancel has been heard: what follows (writing the outcome) is not to be cut off by it.
        while current.cancelling():
            current.uncancel()
        if (task.id, task.attempt) in self.lost:
            raise LeaseLost(
                f"the lease of attempt {task.attempt} of task {task.id} is over; its work is dropped"
            )
        return Released() if self.stopping.is_set() else Canceled()

    def _is_interrupted(self) -> bool:
        current = asyncio.current_task()
        return current is not None and current in self.interrupted and current.cancelling() > 0

    async def _run(self, runtime: Runtime, hands: Hands) -> JsonValue:
        """What the agent comes to. One that catches everything comes to nothing once the engine has canceled it."""
        try:
            result = await runtime.run(hands)
        except Exception as error:
            if self._is_interrupted():
                raise asyncio.CancelledError from error
            raise
        if self._is_interrupted():
            raise asyncio.CancelledError
        return result

    @staticmethod
    def _fault(task: Task, error: ChargehandError) -> Outcome:
        if isinstance(error, StorageFull | Unavailable):
            # Ours, not the agent's: the task goes on from its journal once the storage can be used again.
            log.warning("the storage cannot be used", error=error.message)
            return Released(after_seconds=STORAGE_PAUSE_SECONDS)
        reason = next((reason for kind, reason in _REASON_OF if isinstance(error, kind)), Reason.AGENT_ERROR)
        findings: list[JsonValue] = [str(finding) for finding in error.findings]
        details: JsonObject = {"findings": findings} if findings else {}
        if isinstance(error, BudgetExhausted):
            details |= error.details
        return _failed(reason, error.message, details=details)

    async def _rounds(self, task: Task) -> Outcome:
        """Run the agent, check what it promised, and let it repair, as often as it may."""
        definition = await self.agents.version(task.tenant, task.agent_id, task.agent_version)
        runtime = self.runtimes.of(definition, task.task_data)
        must_read = runtime is self.runtimes.model
        async with self._hands(task, definition, must_read=must_read) as (hands, place):
            hands = hands.for_round(task, await failures_before(hands))
            while True:
                result = await self._run(runtime, hands)
                # What still runs could change the files while they are checked.
                await hands.tools.background.end_all()
                hands.steps.require_same_way()
                if not definition.block.deliverables:
                    return await self._completed(hands, place, result)
                verdict = await check_all(hands)
                if not verdict.failures:
                    await store_all(hands, verdict)
                    return await self._completed(hands, place, result)
                if hands.task.round >= definition.block.repair_rounds:
                    return _checks_failed(verdict.failures)
                failed = [one.as_data() for one in verdict.failures]
                hands = hands.for_round(await self.attempts.next_round(hands.task, failed), verdict.failures)

    async def _completed(self, hands: Hands, place: Place, result: JsonValue) -> Outcome:
        if has_own_workspace(hands.task):
            await place.bring_changes_back(hands)
        return Completed(result=result)

    @asynccontextmanager
    async def _hands(
        self, task: Task, definition: AgentDefinition, *, must_read: bool
    ) -> AsyncGenerator[tuple[Hands, Place], None]:
        """Everything this attempt may use, and where it works."""
        recorded = await self.journal.load(task)
        above = await agents_above(self.agents, task)
        below = await agents_below(self.agents, task.tenant, definition)
        mcp_tools, notes = await self.mcp.of(definition) if self.mcp else ({}, [])
        before_new = partial(refuse_when_stopping, self.stopping, asyncio.current_task())
        async with self.workplaces.opened(task) as place:
            reads = _what_was_read(recorded, enforced=must_read)
            async with Background() as background:
                hands = Hands(
                    task=task,
                    definition=definition,
                    steps=DurableSteps(task, self.journal, recorded, before_new, place.keep),
                    attempts=self.attempts,
                    deliveries=self.deliveries,
                    clock=self.clock,
                    policy=self.policy,
                    above=above,
                    below=below,
                    telemetry=self.telemetry,
                    catalogue={**tools_of(self.catalogue, definition), **mcp_tools},
                    tools=ToolContext(
                        workspace=place.workspace,
                        sandbox=self.sandbox,
                        limits=self.limits,
                        task_id=task.id,
                        reads=reads,
                        background=background,
                    ),
                )
                if notes and task.attempt == 1:
                    await hands.report("; ".join(notes)[:MAX_MESSAGE])
                yield hands, place

    def _seconds_left(self, task: Task) -> float:
        if task.deadline_at is None:
            return 0.0
        return max(0.0, (task.deadline_at - self.clock.now()).total_seconds())


def _what_was_read(recorded: Mapping[str, Step], *, enforced: bool) -> ReadLedger:
    """What the task's earlier attempts and rounds have read and written, so that it need not read it again.

    `enforced`: whether a file must have been read before it is changed. A model must; a playbook's author knows.
    """
    reads = ReadLedger(enforced=enforced)
    for step in sorted(recorded.values(), key=lambda one: one.finished_at or one.started_at):
        details = step.result.get("details") if isinstance(step.result, dict) else None
        if step.kind is StepKind.TOOL and isinstance(details, dict):
            reads.learn(details)
    return reads


def _without_secrets(outcome: Outcome, tenant: str) -> Outcome:
    """What a function returns or raises passes no step of the journal."""
    match outcome:
        case Completed(result=result):
            return Completed(result=values_taken_out_of(result, tenant))
        case Failed(error=error):
            message, details = taken_out_of([error.message, error.details], tenant)
            return replace(outcome, error=replace(error, message=message, details=details))
        case _:
            return outcome


def _failed(
    reason: Reason, message: str, *, details: JsonObject | None = None, may_retry: bool = False
) -> Failed:
    """What an agent raised may hold anything; what is stored is text and JSON that every reader takes."""
    try:
        check_json(details or {})
        told = details or {}
    except ChargehandError as error:
        told: JsonObject = {"dropped": f"the details were not JSON: {error.message}"}
    return Failed(
        error=TaskError(reason=reason, message=plain_text(message)[:MAX_MESSAGE], details=told),
        may_retry=may_retry,
    )


def _checks_failed(failures: tuple[Evidence, ...]) -> Failed:
    named = "; ".join(f"{one.deliverable}: {one.check}" for one in failures[:5])
    evidence: list[JsonValue] = [one.as_data() for one in failures]
    return _failed(
        Reason.CHECKS_FAILED, f"{len(failures)} check(s) failed: {named}", details={"evidence": evidence}
    )
