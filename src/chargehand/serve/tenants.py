"""Tenants over HTTP, for the service's operator: made, read, renamed, suspended and resumed."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from chargehand.domain.access import Scope
from chargehand.domain.tenant import TENANT_ID_PATTERN
from chargehand.serve import queries
from chargehand.serve.auth import principal_of
from chargehand.serve.body import read_json
from chargehand.serve.pages import page_answer, page_of
from chargehand.serve.path_ids import tenant_id_of
from chargehand.serve.queries import Query
from chargehand.serve.routes import Answer, JsonResponse, Route
from chargehand.service.services import Services
from chargehand.wire.access import TenantBody, TenantChange, TenantMade, TenantPage, TenantSubmission
from chargehand.wire.answers import key_body, tenant_body

CURSOR = queries.cursor_like(TENANT_ID_PATTERN)
_LIST = (CURSOR, queries.LIMIT)
_OF_TENANT: dict[str, tuple[str, str]] = dict.fromkeys(
    ("get_tenant", "change_tenant"), ("tenant_id", "/tenant/id")
)


@dataclass(frozen=True, slots=True)
class TenantRoutes:
    """The endpoints, each with a docstring that the OpenAPI document shows."""

    services: Services

    async def create_tenant(self, request: Request) -> Response:
        """Make a tenant, with the agents that ship and an administrator's key, which is told this once."""
        sent = await read_json(request, TenantSubmission)
        made = await self.services.tenants.create(
            principal_of(request), sent.id, sent.display_name, with_key=sent.with_key
        )
        body = {
            "tenant": tenant_body(made.tenant),
            "secret": made.key,
            "key": None if made.record is None else key_body(made.record),
        }
        return JsonResponse(body, 201, {"Location": f"/tenants/{made.tenant.id}"})

    async def list_tenants(self, request: Request) -> Response:
        """All tenants, by id."""
        query = Query(request, _LIST)
        page = await self.services.tenants.page(
            principal_of(request),
            after=query.text(CURSOR),
            limit=query.number(queries.LIMIT),
        )
        return page_answer(request, map(tenant_body, page.items), page.next_cursor)

    async def get_tenant(self, request: Request) -> Response:
        """One tenant."""
        found = await self.services.tenants.get(principal_of(request), tenant_id_of(request))
        return JsonResponse(tenant_body(found))

    async def change_tenant(self, request: Request) -> Response:
        """Rename, suspend or resume a tenant. Within 5 s no process takes a suspended tenant's keys any more.

        What runs of it goes on to its next wait or its end; nothing more of it begins, and its schedules pause.
        """
        who, tenant_id = principal_of(request), tenant_id_of(request)
        sent = await read_json(request, TenantChange)
        return JsonResponse(tenant_body(await self.services.tenants.change(who, tenant_id, **sent.values())))

    def routes(self) -> Sequence[Route]:
        """What is registered."""
        path, stands = "/tenants/{tenant_id}", Answer(description="The tenant.", model=TenantBody)
        where = {"Location": "Where the tenant is."}
        made = Answer(description="Made.", model=TenantMade, headers=where, leads_to=_OF_TENANT)
        return [
            Route(
                method="POST",
                path="/tenants",
                endpoint=self.create_tenant,
                needs=Scope.ADMIN_SERVICE,
                tag="access",
                body=TenantSubmission,
                answers={201: made},
                problems=(409, 507),
            ),
            Route(
                method="GET",
                path="/tenants",
                endpoint=self.list_tenants,
                needs=Scope.ADMIN_SERVICE,
                tag="access",
                parameters=_LIST,
                answers={200: page_of(TenantPage)},
            ),
            Route(
                method="GET",
                path=path,
                endpoint=self.get_tenant,
                needs=Scope.ADMIN_SERVICE,
                tag="access",
                answers={200: stands},
                problems=(404,),
            ),
            Route(
                method="PATCH",
                path=path,
                endpoint=self.change_tenant,
                needs=Scope.ADMIN_SERVICE,
                tag="access",
                body=TenantChange,
                answers={200: stands},
                problems=(404, 409),
            ),
        ]
