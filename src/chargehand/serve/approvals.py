"""Approvals over HTTP: what waits for a person, and the decision."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from chargehand.domain.access import Scope
from chargehand.domain.approval import ApprovalStatus, Decision
from chargehand.serve import queries
from chargehand.serve.auth import principal_of
from chargehand.serve.body import read_json
from chargehand.serve.pages import ID_CURSOR, page_answer, page_of
from chargehand.serve.path_ids import approval_id_of
from chargehand.serve.queries import Query
from chargehand.serve.routes import Answer, JsonResponse, Parameter, Route
from chargehand.service.services import Services
from chargehand.wire.answers import approval_body
from chargehand.wire.rest import TASK_ID_PATTERN, ApprovalBody, ApprovalPage, DecisionSubmission

STATUS = Parameter(
    name="status",
    description="Only approvals that stand so.",
    schema={"type": "string", "enum": [status.value for status in ApprovalStatus]},
)
TASK = Parameter(
    name="task_id",
    description="Only approvals that this task waits for, or has waited for.",
    schema={"type": "string", "pattern": TASK_ID_PATTERN},
)
_LIST = (STATUS, TASK, ID_CURSOR, queries.LIMIT)


@dataclass(frozen=True, slots=True)
class ApprovalRoutes:
    """The endpoints, each with a docstring that the OpenAPI document shows."""

    services: Services

    async def list_approvals(self, request: Request) -> Response:
        """Approvals, newest first; `status=open` are those that wait for a person."""
        query = Query(request, _LIST)
        page = await self.services.approvals.page(
            principal_of(request),
            status=query.choice(STATUS),
            task_id=query.text(TASK),
            before=query.text(ID_CURSOR),
            limit=query.number(queries.LIMIT),
        )
        return page_answer(request, map(approval_body, page.items), page.next_cursor)

    async def get_approval(self, request: Request) -> Response:
        """One approval: the call with its arguments, the rule that asks, until when, and what was decided."""
        found = await self.services.approvals.get(principal_of(request), approval_id_of(request))
        return JsonResponse(approval_body(found))

    async def decide_approval(self, request: Request) -> Response:
        """Approve a call (as it is, or with other arguments) or deny it with a reason.

        Send `arguments_hash` as it was read, so that what is decided is what was seen. The same decision sent again
        is answered with the first; another is refused.
        """
        approval_id = approval_id_of(request)
        sent = await read_json(request, DecisionSubmission)
        decision = Decision(
            approve=sent.decision == "approve",
            arguments_hash=sent.arguments_hash,
            arguments=sent.arguments,
            reason=sent.reason,
        )
        decided = await self.services.approvals.decide(principal_of(request), approval_id, decision)
        return JsonResponse(approval_body(decided))

    def routes(self) -> Sequence[Route]:
        """All of them."""
        return [
            Route(
                method="GET",
                path="/approvals",
                endpoint=self.list_approvals,
                needs=Scope.TASKS_READ,
                tag="approvals",
                parameters=_LIST,
                answers={200: page_of(ApprovalPage)},
            ),
            Route(
                method="GET",
                path="/approvals/{approval_id}",
                endpoint=self.get_approval,
                needs=Scope.TASKS_READ,
                tag="approvals",
                answers={200: Answer(description="The approval.", model=ApprovalBody)},
                problems=(404,),
            ),
            Route(
                method="POST",
                path="/approvals/{approval_id}",
                endpoint=self.decide_approval,
                needs=Scope.APPROVALS_DECIDE,
                tag="approvals",
                body=DecisionSubmission,
                answers={200: Answer(description="Decided.", model=ApprovalBody)},
                problems=(404, 409),
            ),
        ]
