"""The audit over HTTP: listed, and exported whole. There is no route that changes it."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import asdict, dataclass

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from chargehand.domain.access import Scope
from chargehand.domain.audit import Action, AuditEntry, Result, Wanted
from chargehand.serve import queries
from chargehand.serve.auth import principal_of
from chargehand.serve.pages import page_answer, page_of
from chargehand.serve.queries import Query
from chargehand.serve.routes import Answer, Parameter, Route
from chargehand.service.services import Services
from chargehand.wire.answers import to_json
from chargehand.wire.audit import AuditPage, time_of

NDJSON_TYPE = "application/x-ndjson"
_ID_PATTERN = r"^[^\x00-\x1f\x7f]{1,255}$"
_KINDS = sorted({action.object_kind for action in Action})

ACTOR = Parameter(
    name="actor",
    description="Only what this key did, by its id.",
    schema={"type": "string", "pattern": _ID_PATTERN},
)
ACTION = Parameter(
    name="action",
    description="Only this action.",
    schema={"type": "string", "enum": [action.value for action in Action]},
)
OBJECT = Parameter(
    name="object",
    description="Only what was done to the thing of this id or name.",
    schema={"type": "string", "pattern": _ID_PATTERN},
)
OBJECT_KIND = Parameter(
    name="object_kind",
    description="Only what was done to things of this kind.",
    schema={"type": "string", "enum": _KINDS},
)
RESULT = Parameter(
    name="result",
    description="Only what was done, or only what was denied.",
    schema={"type": "string", "enum": [result.value for result in Result]},
)
SINCE = Parameter(
    name="since",
    description="Only entries of this time or later, such as 2030-01-31T00:00:00Z.",
    schema={"type": "string", "format": "date-time"},
)
UNTIL = Parameter(
    name="until",
    description="Only entries before this time.",
    schema={"type": "string", "format": "date-time"},
)
CURSOR = queries.cursor_like("^[0-9]{1,16}$")
AFTER = Parameter(
    name="after",
    description="Only entries behind this number, for an export that goes on from the one before.",
    schema={"type": "integer", "minimum": 0, "maximum": queries.MAX_SEQUENCE, "default": 0},
)
_LIST = (ACTOR, ACTION, OBJECT, OBJECT_KIND, RESULT, SINCE, UNTIL, CURSOR, queries.LIMIT)


@dataclass(frozen=True, slots=True)
class AuditRoutes:
    """The endpoints, each with a docstring that the OpenAPI document shows."""

    services: Services

    async def list_audit(self, request: Request) -> Response:
        """The tenant's entries, newest first, and where its chain ends."""
        query = Query(request, _LIST)
        wanted = Wanted(
            actor_id=query.text(ACTOR),
            action=query.choice(ACTION),
            object_kind=query.choice(OBJECT_KIND),
            object_id=query.text(OBJECT),
            result=query.choice(RESULT),
            since=query.read(SINCE, time_of, "2030-01-31T00:00:00Z"),
            until=query.read(UNTIL, time_of, "2030-01-31T00:00:00Z"),
        )
        before = query.text(CURSOR)
        page = await self.services.audit.page(
            principal_of(request),
            wanted,
            before=None if before is None else int(before),
            limit=query.number(queries.LIMIT),
        )
        cursor = None if page.next_cursor is None else str(page.next_cursor)
        return page_answer(request, (one.as_data() for one in page.items), cursor, head=asdict(page.head))

    async def export_audit(self, request: Request) -> Response:
        """Every entry of the tenant in order, one JSON object a line. `chargehand audit verify` reads it."""
        query = Query(request, (AFTER,))
        parts = self.services.audit.whole(principal_of(request), after=query.number(AFTER))
        # Before the status is sent, so that what is wrong can still be told.
        first = await anext(parts, None)
        return StreamingResponse(_lines(first or (), parts), media_type=NDJSON_TYPE)

    def routes(self) -> Sequence[Route]:
        """What is registered."""
        return [
            Route(
                method="GET",
                path="/audit",
                endpoint=self.list_audit,
                needs=Scope.AUDIT_READ,
                tag="audit",
                parameters=_LIST,
                answers={200: page_of(AuditPage)},
            ),
            Route(
                method="GET",
                path="/audit/export",
                endpoint=self.export_audit,
                needs=Scope.AUDIT_READ,
                tag="audit",
                parameters=(AFTER,),
                answers={200: Answer(description="The entries.", media_types=(NDJSON_TYPE,))},
            ),
        ]


async def _lines(
    first: Sequence[AuditEntry], parts: AsyncGenerator[Sequence[AuditEntry], None]
) -> AsyncGenerator[bytes, None]:
    try:
        yield _as_lines(first)
        async for part in parts:
            yield _as_lines(part)
    finally:
        await parts.aclose()


def _as_lines(entries: Sequence[AuditEntry]) -> bytes:
    return b"".join(to_json(entry.as_data()) + b"\n" for entry in entries)
