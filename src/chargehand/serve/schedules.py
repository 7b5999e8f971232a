"""Schedules over HTTP: made, read, changed, removed, and run at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response

from chargehand.domain.access import Scope
from chargehand.domain.schedule import ScheduleOrder
from chargehand.serve import queries
from chargehand.serve.auth import principal_of
from chargehand.serve.body import read_json
from chargehand.serve.pages import ID_CURSOR, page_answer, page_of
from chargehand.serve.path_ids import schedule_id_of
from chargehand.serve.queries import Query
from chargehand.serve.routes import Answer, JsonResponse, Parameter, Route
from chargehand.service.services import Services
from chargehand.wire.answers import schedule_body, task_body
from chargehand.wire.rest import TaskBody
from chargehand.wire.schedules import (
    SCHEDULE_NAME_PATTERN,
    ScheduleBody,
    ScheduleChange,
    SchedulePage,
    ScheduleSubmission,
)

NAME = Parameter(
    name="name",
    description="Only the schedule of this name.",
    schema={"type": "string", "pattern": SCHEDULE_NAME_PATTERN},
)
AGENT = Parameter(
    name="agent_id", description="Only schedules for this agent.", schema=dict(queries.AGENT.schema)
)
_LIST = (NAME, AGENT, ID_CURSOR, queries.LIMIT)
_OF_SCHEDULE: dict[str, tuple[str, str]] = dict.fromkeys(
    ("get_schedule", "change_schedule", "run_schedule", "remove_schedule"), ("schedule_id", "/id")
)


@dataclass(frozen=True, slots=True)
class ScheduleRoutes:
    """The endpoints, each with a docstring that the OpenAPI document shows."""

    services: Services

    async def create_schedule(self, request: Request) -> Response:
        """Have a task come by itself. What submitting it now would refuse is refused here.

        A name is taken once, so sending twice makes one schedule: the second time is 409 and tells its id.
        """
        sent = await read_json(request, ScheduleSubmission)
        order = ScheduleOrder(**cast("dict[str, Any]", sent.values()))
        made = await self.services.schedules.create(principal_of(request), order)
        return JsonResponse(schedule_body(made), 201, {"Location": f"/schedules/{made.id}"})

    async def list_schedules(self, request: Request) -> Response:
        """Schedules, newest first."""
        query = Query(request, _LIST)
        page = await self.services.schedules.page(
            principal_of(request),
            name=query.text(NAME),
            agent_id=query.text(AGENT),
            before=query.text(ID_CURSOR),
            limit=query.number(queries.LIMIT),
        )
        return page_answer(request, map(schedule_body, page.items), page.next_cursor)

    async def get_schedule(self, request: Request) -> Response:
        """One schedule: what it orders, when it runs next, and how its last time went."""
        found = await self.services.schedules.get(principal_of(request), schedule_id_of(request))
        return JsonResponse(schedule_body(found))

    async def change_schedule(self, request: Request) -> Response:
        """Change what is sent, leave the rest as it is; `is_paused` pauses and resumes.

        With another `cron` or `time_zone`, or resumed, it goes on from now.
        """
        schedule_id = schedule_id_of(request)
        sent = await read_json(request, ScheduleChange)
        changed = await self.services.schedules.change(principal_of(request), schedule_id, sent.values())
        return JsonResponse(schedule_body(changed))

    async def remove_schedule(self, request: Request) -> Response:
        """End a schedule. The tasks that it brought stay."""
        await self.services.schedules.remove(principal_of(request), schedule_id_of(request))
        return Response(status_code=204)

    async def run_schedule(self, request: Request) -> Response:
        """Submit its task now, also while it is paused. Its times stay as they are."""
        key = request.headers.get(queries.IDEMPOTENCY_KEY.name)
        who, schedule_id = principal_of(request), schedule_id_of(request)
        accepted = await self.services.schedules.run(who, schedule_id, key)
        headers = {"Location": f"/tasks/{accepted.task.id}"}
        if accepted.replayed:
            headers["Idempotent-Replayed"] = "true"
        return JsonResponse(task_body(accepted.task), 202, headers)

    def routes(self) -> Sequence[Route]:
        """All of them."""
        return [*self._of_all(), *self._of_one()]

    def _of_all(self) -> Sequence[Route]:
        made = Answer(
            description="Made.",
            model=ScheduleBody,
            headers={"Location": "Where the schedule is."},
            leads_to=_OF_SCHEDULE,
        )
        return [
            Route(
                method="POST",
                path="/schedules",
                endpoint=self.create_schedule,
                needs=Scope.TASKS_WRITE,
                tag="schedules",
                body=ScheduleSubmission,
                answers={201: made},
                problems=(404, 409, 507),
            ),
            Route(
                method="GET",
                path="/schedules",
                endpoint=self.list_schedules,
                needs=Scope.TASKS_READ,
                tag="schedules",
                parameters=_LIST,
                answers={200: page_of(SchedulePage)},
            ),
        ]

    def _of_one(self) -> Sequence[Route]:
        path, stands = "/schedules/{schedule_id}", Answer(description="The schedule.", model=ScheduleBody)
        task = Answer(
            description="Stored.",
            model=TaskBody,
            headers={
                "Location": "Where the task is.",
                "Idempotent-Replayed": "`true` when an earlier request with the same key had stored the task.",
            },
        )
        return [
            Route(
                method="GET",
                path=path,
                endpoint=self.get_schedule,
                needs=Scope.TASKS_READ,
                tag="schedules",
                answers={200: stands},
                problems=(404,),
            ),
            Route(
                method="PATCH",
                path=path,
                endpoint=self.change_schedule,
                needs=Scope.TASKS_WRITE,
                tag="schedules",
                body=ScheduleChange,
                answers={200: stands},
                problems=(404, 409, 507),
            ),
            Route(
                method="DELETE",
                path=path,
                endpoint=self.remove_schedule,
                needs=Scope.TASKS_WRITE,
                tag="schedules",
                answers={204: Answer(description="Gone.")},
                problems=(404,),
            ),
            Route(
                method="POST",
                path=f"{path}/run",
                endpoint=self.run_schedule,
                needs=Scope.TASKS_WRITE,
                tag="schedules",
                parameters=(queries.IDEMPOTENCY_KEY,),
                answers={202: task},
                problems=(404, 409, 422, 507),
            ),
        ]
