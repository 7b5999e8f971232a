"""Deleting what is no longer kept, over HTTP: the command line asks the service that holds the data folder."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response

from chargehand.domain.access import Scope
from chargehand.domain.retention import PruneOrder
from chargehand.domain.task import FINAL, Status
from chargehand.serve.auth import principal_of
from chargehand.serve.body import read_json
from chargehand.serve.routes import Answer, JsonResponse, Route
from chargehand.service.services import Services
from chargehand.wire.retention import PruneAnswer, PruneRequest, SweepAnswer


@dataclass(frozen=True, slots=True)
class RetentionRoutes:
    """The endpoints, each with a docstring that the OpenAPI document shows."""

    services: Services

    async def prune_tasks(self, request: Request) -> Response:
        """Delete ended trees of tasks of the key's tenant with all that belongs to them, for about a second.

        Repeat it with `after` until that is null; then sweep.
        """
        sent = await read_json(request, PruneRequest)
        order = PruneOrder(
            older_than=timedelta(seconds=sent.older_than_seconds),
            statuses=frozenset(map(Status, sent.statuses)) if sent.statuses else frozenset(FINAL),
            agent_id=sent.agent_id,
            most_trees=sent.most_trees,
            is_dry_run=sent.dry_run,
            after=sent.after,
        )
        return JsonResponse(asdict(await self.services.retention.prune(principal_of(request), order)))

    async def sweep_storage(self, request: Request) -> Response:
        """Remove the workspaces and the stored content that no task's row names any more."""
        return JsonResponse(asdict(await self.services.retention.sweep(principal_of(request))))

    def routes(self) -> Sequence[Route]:
        """What is registered."""
        return [
            Route(
                method="POST",
                path="/admin/prune",
                endpoint=self.prune_tasks,
                needs=Scope.ADMIN,
                tag="admin",
                body=PruneRequest,
                answers={200: Answer(description="How much went.", model=PruneAnswer)},
            ),
            Route(
                method="POST",
                path="/admin/sweep",
                endpoint=self.sweep_storage,
                needs=Scope.ADMIN_SERVICE,
                tag="admin",
                answers={200: Answer(description="How much went.", model=SweepAnswer)},
                problems=(409,),
            ),
        ]
