"""Health: is it there, does it live, can it work. Public, and so without a word more than needed."""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from chargehand.serve.auth import known_principal
from chargehand.serve.routes import Answer, JsonResponse, Route
from chargehand.service.services import Services
from chargehand.wire.answers import ready_body
from chargehand.wire.rest import HealthBody, LiveBody, ReadyBody


@dataclass(frozen=True, slots=True)
class HealthRoutes:
    """The endpoints, each with a docstring that the OpenAPI document shows."""

    services: Services

    async def health(self, request: Request) -> Response:
        """The service answers."""
        del request
        return JsonResponse({"status": "healthy", "service": "ai-agent-api"})

    async def live(self, request: Request) -> Response:
        """The process runs; when this fails, restart it."""
        del request
        return JsonResponse({"status": "live"})

    async def ready(self, request: Request) -> Response:
        """Whether tasks can be taken and carried out. With a key, also what was found."""
        found = await self.services.health.ready()
        checks = {
            name: (reading.ok, reading.is_degraded, reading.detail) for name, reading in found.checks.items()
        }
        shown = checks if known_principal(request) is not None else None
        return JsonResponse(ready_body(ok=found.ok, checks=shown), 200 if found.ok else 503)

    def routes(self) -> Sequence[Route]:
        """What is registered."""
        return [
            Route(
                method="GET",
                path=path,
                endpoint=endpoint,
                needs=None,
                tag="health",
                answers=answers,
            )
            for path, endpoint, answers in (
                ("/health", self.health, {200: Answer(description="It answers.", model=HealthBody)}),
                ("/health/live", self.live, {200: Answer(description="It runs.", model=LiveBody)}),
                (
                    "/health/ready",
                    self.ready,
                    {
                        200: Answer(description="It can work.", model=ReadyBody),
                        503: Answer(description="It cannot work now.", model=ReadyBody),
                    },
                ),
            )
        ]
