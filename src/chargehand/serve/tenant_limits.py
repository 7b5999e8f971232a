"""What one tenant may use, over HTTP: for those who operate the service, not for the tenant itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from chargehand.domain.access import Scope
from chargehand.serve.auth import principal_of
from chargehand.serve.body import read_json
from chargehand.serve.routes import Answer, JsonResponse, Route
from chargehand.service.services import Services
from chargehand.service.tenant_limits import OwnAndEffective
from chargehand.wire.limits import TenantLimitsAnswer, TenantLimitsBody, limits_body

PATH = "/tenants/{tenant_id}/limits"


@dataclass(frozen=True, slots=True)
class TenantLimitRoutes:
    """The endpoints, each with a docstring that the OpenAPI document shows."""

    services: Services

    async def get_tenant_limits(self, request: Request) -> Response:
        """A tenant's limits: its own, and those that hold for it."""
        tenant = request.path_params["tenant_id"]
        return _answer(await self.services.limits.read(principal_of(request), tenant))

    async def put_tenant_limits(self, request: Request) -> Response:
        """Give a tenant limits of its own instead of those before; what is left out is as the settings say.

        They hold at once in this process and within five seconds in all.
        """
        sent = await read_json(request, TenantLimitsBody)
        tenant, limits = request.path_params["tenant_id"], sent.as_limits()
        return _answer(await self.services.limits.replace(principal_of(request), tenant, limits))

    def routes(self) -> Sequence[Route]:
        """What is registered."""
        answers = {200: Answer(description="Its limits.", model=TenantLimitsAnswer)}
        return [
            Route(
                method="GET",
                path=PATH,
                endpoint=self.get_tenant_limits,
                needs=Scope.ADMIN_SERVICE,
                tag="tenants",
                answers=answers,
                problems=(404,),
            ),
            Route(
                method="PUT",
                path=PATH,
                endpoint=self.put_tenant_limits,
                needs=Scope.ADMIN_SERVICE,
                tag="tenants",
                body=TenantLimitsBody,
                answers=answers,
                problems=(404, 507),
            ),
        ]


def _answer(found: OwnAndEffective) -> Response:
    body = {
        "tenant": found.tenant,
        "own": limits_body(found.own),
        "effective": limits_body(found.effective),
    }
    return JsonResponse(body)
