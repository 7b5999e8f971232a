"""The numbers for Prometheus: behind a key with the scope `metrics:read`, open, or not there, as the settings say.

Rule: they are sums over all tenants, so a key has to be of the operator's own tenant or carry `admin:service`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from chargehand.domain.access import DEFAULT_TENANT, Principal, Scope
from chargehand.errors import Forbidden
from chargehand.serve.auth import principal_of
from chargehand.serve.routes import Answer, Route
from chargehand.service.measures import Measures
from chargehand.telemetry.metrics import CONTENT_TYPE

PATH = "/metrics"


@dataclass(frozen=True, slots=True)
class MetricsRoutes:
    """The endpoint, with a docstring that the OpenAPI document shows."""

    measures: Measures
    is_open: bool

    async def read_metrics(self, request: Request) -> Response:
        """Numbers over all tenants, in Prometheus' text format. They name no task, agent or tenant.

        With `metrics:read`, for keys of the tenant `default`; a key of another tenant needs `admin:service` too.
        """
        if not self.is_open:
            _require_operators(principal_of(request))
        return Response(await self.measures.exposed(), media_type=CONTENT_TYPE)

    def routes(self) -> Sequence[Route]:
        """What is registered."""
        return [
            Route(
                method="GET",
                path=PATH,
                endpoint=self.read_metrics,
                needs=None if self.is_open else Scope.METRICS_READ,
                is_open=self.is_open,
                tag="health",
                answers={200: Answer(description="The numbers.", media_types=("text/plain",))},
            )
        ]


def _require_operators(who: Principal) -> None:
    """Forbidden for a tenant's key: what the others do is in the sums."""
    if who.tenant != DEFAULT_TENANT and not who.has(Scope.ADMIN_SERVICE):
        raise Forbidden(
            f"the numbers are sums over all tenants: they take a key of the operator's tenant {DEFAULT_TENANT!r}"
            f" with {Scope.METRICS_READ.value!r}, or {Scope.ADMIN_SERVICE.value!r} besides"
        )
