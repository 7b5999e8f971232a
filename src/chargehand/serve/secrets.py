"""Secrets over HTTP: named, given a value, deleted. There is no route that answers with a value."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from starlette.requests import Request
from starlette.responses import Response

from chargehand.domain.access import Scope
from chargehand.serve.auth import principal_of
from chargehand.serve.body import read_json
from chargehand.serve.routes import Answer, JsonResponse, Route
from chargehand.service.services import Services
from chargehand.wire.answers import listed
from chargehand.wire.secrets import RewrapAnswer, SecretBody, SecretList, SecretValue


@dataclass(frozen=True, slots=True)
class SecretRoutes:
    """The endpoints, each with a docstring that the OpenAPI document shows."""

    services: Services

    async def list_secrets(self, request: Request) -> Response:
        """The tenant's secrets by name, without their values."""
        found = await self.services.secrets.all(principal_of(request))
        return JsonResponse(listed(map(asdict, found)))

    async def put_secret(self, request: Request) -> Response:
        """Give a secret a value, new or in the place of the one before."""
        who, name = principal_of(request), request.path_params["secret"]
        sent = await read_json(request, SecretValue)
        stored, is_new = await self.services.secrets.put(who, name, sent.value)
        return JsonResponse(asdict(stored), 201 if is_new else 200)

    async def delete_secret(self, request: Request) -> Response:
        """Delete a secret; what refers to it fails from now on and says so."""
        await self.services.secrets.delete(principal_of(request), request.path_params["secret"])
        return Response(status_code=204)

    async def rewrap_secrets(self, request: Request) -> Response:
        """Encrypt every tenant's data key with the first master key; then the other master keys may go."""
        return JsonResponse(asdict(await self.services.vault.rewrap(principal_of(request))))

    def routes(self) -> Sequence[Route]:
        """What is registered."""
        stored = {
            200: Answer(description="It has the new value.", model=SecretBody),
            201: Answer(description="Made.", model=SecretBody),
        }
        return [
            Route(
                method="GET",
                path="/secrets",
                endpoint=self.list_secrets,
                needs=Scope.SECRETS_READ,
                tag="secrets",
                answers={200: Answer(description="All of them.", model=SecretList)},
            ),
            Route(
                method="PUT",
                path="/secrets/{secret}",
                endpoint=self.put_secret,
                needs=Scope.SECRETS_WRITE,
                tag="secrets",
                body=SecretValue,
                answers=stored,
                problems=(409, 507),
            ),
            Route(
                method="DELETE",
                path="/secrets/{secret}",
                endpoint=self.delete_secret,
                needs=Scope.SECRETS_WRITE,
                tag="secrets",
                answers={204: Answer(description="Gone.")},
                problems=(404,),
            ),
            Route(
                method="POST",
                path="/admin/rewrap",
                endpoint=self.rewrap_secrets,
                needs=Scope.ADMIN_SERVICE,
                tag="admin",
                answers={200: Answer(description="Done.", model=RewrapAnswer)},
                problems=(409,),
            ),
        ]
