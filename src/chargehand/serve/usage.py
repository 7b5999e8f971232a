"""What models have cost, over HTTP."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from starlette.requests import Request
from starlette.responses import Response

from chargehand.domain.access import Scope
from chargehand.domain.usage import UsageBy, UsageFilter
from chargehand.serve.auth import principal_of
from chargehand.serve.queries import AGENT, Query
from chargehand.serve.routes import Answer, JsonResponse, Parameter, Route
from chargehand.service.services import Services
from chargehand.service.usage import MAX_GROUPS
from chargehand.wire.answers import usage_body
from chargehand.wire.rest import TASK_ID_PATTERN
from chargehand.wire.spending import UsageBody

_GROUP_BY = Parameter(
    name="group_by",
    description="What the sums are grouped by; a tree is a task with all that it delegated.",
    schema={"type": "string", "enum": [by.value for by in UsageBy], "default": UsageBy.DAY.value},
)
_FROM = Parameter(
    name="from", description="The first day (UTC).", schema={"type": "string", "format": "date"}
)
_TO = Parameter(
    name="to",
    description="The last day (UTC), not before the first.",
    schema={"type": "string", "format": "date"},
)
_ROOT = Parameter(
    name="root_id",
    description="Only the tree of this task.",
    schema={"type": "string", "pattern": TASK_ID_PATTERN},
)
_TASK = Parameter(
    name="task_id",
    description="Only this task's own calls.",
    schema={"type": "string", "pattern": TASK_ID_PATTERN},
)
_LIMIT = Parameter(
    name="limit",
    description="How many groups at most.",
    schema={"type": "integer", "minimum": 1, "maximum": MAX_GROUPS, "default": 100},
)
_PARAMETERS = (_GROUP_BY, _FROM, _TO, AGENT, _ROOT, _TASK, _LIMIT)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class UsageRoutes:
    """The endpoint, with a docstring that the OpenAPI document shows."""

    services: Services

    async def get_usage(self, request: Request) -> Response:
        """What models have cost the key's tenant, by task, tree, agent, model or day; and its limits."""
        query = Query(request, _PARAMETERS)
        only = UsageFilter(
            since=query.read(_FROM, _day, "2030-01-31"),
            until=query.read(_TO, _day, "2030-01-31"),
            agent_id=query.text(AGENT),
            root_id=query.text(_ROOT),
            task_id=query.text(_TASK),
        )
        by = UsageBy(query.choice(_GROUP_BY))
        report = await self.services.usage.report(principal_of(request), by, only, limit=query.number(_LIMIT))
        quotas = await self.services.quota_reports.of(principal_of(request))
        return JsonResponse(usage_body(report, quotas))

    def routes(self) -> Sequence[Route]:
        """The one route."""
        return [
            Route(
                method="GET",
                path="/usage",
                endpoint=self.get_usage,
                needs=Scope.TASKS_READ,
                tag="usage",
                parameters=_PARAMETERS,
                answers={200: Answer(description="The sums.", model=UsageBody)},
            )
        ]


def _day(text: str) -> date:
    """A day as it is written in RFC 3339, which is less than ISO 8601 allows."""
    if not _DAY.fullmatch(text):
        raise ValueError("it is of another form")
    return date.fromisoformat(text)
