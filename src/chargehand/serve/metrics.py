"""The numbers for Prometheus: behind a key with the scope `metrics:read`, open, or not there, as the settings say."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from chargehand.domain.access import Scope
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
        """Numbers over all tenants, in Prometheus' text format. They name no task, agent or tenant."""
        del request
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
