"""Keys over HTTP: made, read, replaced and revoked."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response

from chargehand.domain.access import Scope
from chargehand.domain.roles import scopes_named, scopes_of_roles
from chargehand.errors import Finding, InvalidInput
from chargehand.serve import queries
from chargehand.serve.auth import principal_of
from chargehand.serve.body import read_json
from chargehand.serve.pages import page_answer, page_of
from chargehand.serve.path_ids import key_id_of
from chargehand.serve.queries import Query
from chargehand.serve.routes import Answer, JsonResponse, Parameter, Route
from chargehand.service.services import Services
from chargehand.wire.access import (
    KEY_NAME_PATTERN,
    KeyBody,
    KeyMade,
    KeyPage,
    KeyRotated,
    KeyRotation,
    KeySubmission,
)
from chargehand.wire.answers import key_body

NAME = Parameter(
    name="name",
    description="Only the key of this name.",
    schema={"type": "string", "pattern": KEY_NAME_PATTERN},
)
CURSOR = queries.cursor_like(KEY_NAME_PATTERN)
_LIST = (NAME, CURSOR, queries.LIMIT)
_OF_KEY: dict[str, tuple[str, str]] = dict.fromkeys(
    ("get_key", "rotate_key", "revoke_key"), ("key_id", "/key/id")
)


@dataclass(frozen=True, slots=True)
class KeyRoutes:
    """The endpoints, each with a docstring that the OpenAPI document shows."""

    services: Services

    async def create_key(self, request: Request) -> Response:
        """Make a key in the caller's tenant that can do no more than the caller's own. It is told this once."""
        sent = await read_json(request, KeySubmission)
        if not sent.scopes and not sent.roles:
            finding = Finding(where="scopes", message="is empty, and so is roles", hint="name what it may do")
            raise InvalidInput(f"the body cannot be accepted: {finding}", findings=[finding])
        secret, record = await self.services.keys.issue(
            principal_of(request),
            sent.name,
            scopes_named(sent.scopes) | scopes_of_roles(sent.roles),
            sent.expires_at,
            roles=sent.roles,
            agents=sent.agents,
        )
        body = {"secret": secret, "key": key_body(record)}
        return JsonResponse(body, 201, {"Location": f"/keys/{record.id}"})

    async def list_keys(self, request: Request) -> Response:
        """Keys of the caller's tenant by name, also those that have ended."""
        query = Query(request, _LIST)
        page = await self.services.keys.page(
            principal_of(request),
            name=query.text(NAME),
            after=query.text(CURSOR),
            limit=query.number(queries.LIMIT),
        )
        return page_answer(request, map(key_body, page.items), page.next_cursor)

    async def get_key(self, request: Request) -> Response:
        """One key: what it may do, when it ends, and when it was last used."""
        return JsonResponse(key_body(await self.services.keys.get(principal_of(request), key_id_of(request))))

    async def rotate_key(self, request: Request) -> Response:
        """Replace a key by one of the same name and rights. The old one works for a day more, or as long as is sent."""
        who, key_id = principal_of(request), key_id_of(request)
        sent = await read_json(request, KeyRotation) if await request.body() else KeyRotation()
        secret, record, replaced = await self.services.keys.rotate(
            who, key_id, kept_for=timedelta(seconds=sent.keep_seconds), expires_at=sent.expires_at
        )
        body = {"secret": secret, "key": key_body(record), "replaced": key_body(replaced)}
        return JsonResponse(body, 201, {"Location": f"/keys/{record.id}"})

    async def revoke_key(self, request: Request) -> Response:
        """End a key; within 5 s no process takes it any more. It stays listed."""
        return JsonResponse(
            key_body(await self.services.keys.revoke(principal_of(request), key_id_of(request)))
        )

    def routes(self) -> Sequence[Route]:
        """What is registered."""
        path, stands = "/keys/{key_id}", Answer(description="The key.", model=KeyBody)
        where = {"Location": "Where the key is."}
        return [
            Route(
                method="POST",
                path="/keys",
                endpoint=self.create_key,
                needs=Scope.KEYS_WRITE,
                tag="access",
                body=KeySubmission,
                answers={201: Answer(description="Made.", model=KeyMade, headers=where, leads_to=_OF_KEY)},
                problems=(409, 507),
            ),
            Route(
                method="GET",
                path="/keys",
                endpoint=self.list_keys,
                needs=Scope.KEYS_READ,
                tag="access",
                parameters=_LIST,
                answers={200: page_of(KeyPage)},
            ),
            Route(
                method="GET",
                path=path,
                endpoint=self.get_key,
                needs=Scope.KEYS_READ,
                tag="access",
                answers={200: stands},
                problems=(404,),
            ),
            Route(
                method="DELETE",
                path=path,
                endpoint=self.revoke_key,
                needs=Scope.KEYS_WRITE,
                tag="access",
                answers={200: stands},
                problems=(404,),
            ),
            Route(
                method="POST",
                path=f"{path}/rotate",
                endpoint=self.rotate_key,
                needs=Scope.KEYS_WRITE,
                tag="access",
                body=KeyRotation,
                body_is_optional=True,
                answers={201: Answer(description="Replaced.", model=KeyRotated, headers=where)},
                problems=(404, 409, 507),
            ),
        ]
