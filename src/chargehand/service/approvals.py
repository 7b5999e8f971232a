"""What people do with approvals: see them, decide them; and what follows, in the transaction that makes it so.

Rule: the row, the step that waits for it, its event and the wake-up are one transaction; so an answer is never half
there, and the second one sees the first.
"""

from dataclasses import replace
from datetime import datetime

from chargehand.clock import Clock
from chargehand.domain.access import Principal, Scope
from chargehand.domain.approval import Approval, ApprovalStatus, Decision
from chargehand.domain.audit import Action
from chargehand.domain.history import EventKind, StepStatus
from chargehand.domain.task import FINAL
from chargehand.domain.values import JsonObject, canonical, check_json, plain_text
from chargehand.errors import ApprovalNotFound, ApprovalStale, IllegalMove, InvalidInput
from chargehand.failpoint import fail_point
from chargehand.service import endings
from chargehand.service.audit_records import record
from chargehand.service.endings import Hints
from chargehand.service.pages import Page, check_limit, check_status, page_of
from chargehand.service.ports import EditedCalls
from chargehand.service.visibility import is_visible
from chargehand.store import approvals, history, tasks
from chargehand.store.database import Database, Tx, retried

MAX_COMMENT = 2_000


class Approvals:
    """The use cases of people who decide."""

    def __init__(self, db: Database, clock: Clock, hints: Hints, edits: EditedCalls) -> None:
        self._db = db
        self._edits = edits
        self._clock = clock
        self._hints = hints

    async def get(self, who: Principal, approval_id: str) -> Approval:
        """One approval. ApprovalNotFound for another tenant's."""
        who.require(Scope.TASKS_READ)
        async with self._db.read(who.tenant) as tx:
            return await _seen(tx, who, await approvals.get(tx, approval_id), approval_id)

    async def page(
        self,
        who: Principal,
        *,
        status: str | None = None,
        task_id: str | None = None,
        before: str | None = None,
        limit: int = 50,
    ) -> Page[Approval, str]:
        """The tenant's approvals, newest first."""
        who.require(Scope.TASKS_READ)
        check_limit(limit)
        check_status(status, ApprovalStatus)
        async with self._db.read(who.tenant) as tx:
            found = await approvals.page(
                tx,
                tenant=who.tenant,
                status=status,
                task_id=task_id,
                before=before,
                limit=limit + 1,
                agents=who.agents,
            )
        return page_of(found, limit, lambda one: one.id)

    @retried
    async def decide(self, who: Principal, approval_id: str, decision: Decision) -> Approval:
        """Decide an open approval; the same decision again is answered with the first.

        ApprovalNotFound, ApprovalStale (another hash), IllegalMove (decided otherwise, or its task has ended),
        InvalidInput (the call would not run with these arguments; the approval stays open).
        """
        who.require(Scope.APPROVALS_DECIDE)
        await self._check_edit(who, approval_id, decision)
        async with self._db.write(who.tenant) as tx:
            found = await _seen(tx, who, await approvals.get(tx, approval_id), approval_id)
            _check(decision)
            await tasks.hold(tx, [found.task_id])
            approval = await approvals.get(tx, approval_id) or found
            if decision.arguments_hash not in (None, approval.arguments_hash):
                raise ApprovalStale(
                    f"approval {approval_id} is for other arguments than those whose hash was sent; look again"
                )
            if approval.status is not ApprovalStatus.OPEN:
                if _says_the_same(approval, decision):
                    return approval
                raise IllegalMove(
                    f"approval {approval_id} is {approval.status.value}; only an open one is decided"
                )
            if approval.expires_at <= tx.now:
                # The sweeper has not come by yet; its default is what counts.
                decided = await take_default(tx, self._hints, approval)
            else:
                decided = _decided(approval, decision, by=who.id, now=tx.now)
                await settle(tx, self._hints, decided)
                details: JsonObject = {"status": decided.status.value, "task_id": decided.task_id}
                details["arguments_hash"] = decided.arguments_hash
                await record(tx, who, Action.APPROVAL_DECIDED, approval_id, details)
        fail_point("approvals.decided")
        if decided.status is ApprovalStatus.EXPIRED:
            raise IllegalMove(f"approval {approval_id} expired at {decided.expires_at.isoformat()}")
        return decided

    async def _check_edit(self, who: Principal, approval_id: str, decision: Decision) -> None:
        """Before the transaction, since definitions are read for it; what a call is judged by does not change."""
        if decision.arguments is None or not decision.approve:
            return
        async with self._db.read(who.tenant) as tx:
            found = await _seen(tx, who, await approvals.get(tx, approval_id), approval_id)
            task = (await tasks.get(tx, [found.task_id])).get(found.task_id)
        _check(decision)
        is_edit = canonical(decision.arguments) != canonical(found.arguments)
        is_meant = decision.arguments_hash in (None, found.arguments_hash)
        if is_edit and is_meant and task is not None and found.status is ApprovalStatus.OPEN:
            await self._edits.check(task, found.tool, decision.arguments)


async def take_default(tx: Tx, hints: Hints, approval: Approval) -> Approval:
    """Nobody decided in time: what was said beforehand holds."""
    task = (await tasks.hold(tx, [approval.task_id]))[approval.task_id]
    now = await approvals.get(tx, approval.id)
    if now is not None and now.status is not ApprovalStatus.OPEN:
        # Somebody decided while the task was waited for.
        return now
    status = ApprovalStatus.WITHDRAWN if task.status in FINAL else ApprovalStatus.EXPIRED
    expired = replace(approval, status=status, decided_at=tx.now)
    await settle(tx, hints, expired)
    return expired


async def settle(tx: Tx, hints: Hints, decided: Approval) -> None:
    """Write a decision with all that follows from it. IllegalMove when another came first."""
    if not await approvals.decide(tx, decided):
        raise IllegalMove(f"approval {decided.id} is not open any more")
    await history.append(tx, [(decided.task_id, EventKind.APPROVAL_DECIDED, decided.as_event())])
    hints.changed(tx, decided.task_id)
    await approvals.shift_deadlines(tx, decided.root_id, (tx.now - decided.expires_at).total_seconds())
    if decided.status is ApprovalStatus.WITHDRAWN:
        return
    step = await history.step(tx, decided.task_id, decided.path)
    if step is not None and step.status is not StepStatus.DONE:
        await history.finish_steps(tx, [(decided.task_id, decided.path, decided.as_result())])
    await endings.wake(tx, hints, decided.task_id)


def _decided(approval: Approval, decision: Decision, *, by: str, now: datetime) -> Approval:
    edited = decision.arguments
    # By its text: to Python 1, 1.0 and True are the same.
    if edited is not None and canonical(edited) == canonical(approval.arguments):
        edited = None
    return replace(
        approval,
        status=replace(decision, arguments=edited).status,
        edited_arguments=edited,
        comment=plain_text(decision.reason) if decision.reason else None,
        decided_at=now,
        decided_by=by,
    )


def _says_the_same(approval: Approval, decision: Decision) -> bool:
    again = _decided(approval, decision, by="", now=approval.created_at)
    said, held = canonical(again.edited_arguments), canonical(approval.edited_arguments)
    return (again.status, said, again.comment) == (approval.status, held, approval.comment)


def _check(decision: Decision) -> None:
    if decision.arguments is not None:
        if not decision.approve:
            raise InvalidInput("a denial takes no `arguments`; they belong to an approval")
        check_json(decision.arguments)
    if decision.reason is not None and len(decision.reason) > MAX_COMMENT:
        raise InvalidInput(f"reason is at most {MAX_COMMENT} characters long")


async def _seen(tx: Tx, who: Principal, approval: Approval | None, approval_id: str) -> Approval:
    if approval is None or not await is_visible(tx, who, approval.tenant, approval.root_id):
        raise ApprovalNotFound(f"there is no approval {approval_id!r}")
    return approval
