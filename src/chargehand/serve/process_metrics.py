"""The numbers of a process without the HTTP service, a worker or one of `chargehand upkeep`: on the loopback alone.

Rule: such a process checks no keys, so nobody from outside is answered: neither at another address of this machine nor
under another host's name. That the port is taken is no reason not to work.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import structlog
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from chargehand.errors import ChargehandError
from chargehand.serve.metrics import PATH
from chargehand.serve.server import bind, config_for, run_on
from chargehand.telemetry.metrics import CONTENT_TYPE

log = structlog.stdlib.get_logger("chargehand.metrics")

HOST = "127.0.0.1"


@asynccontextmanager
async def telling_numbers(port: int, exposed: Callable[[], bytes]) -> AsyncGenerator[None]:
    """For as long as the block lasts, GET /metrics is answered with what `exposed` gives."""
    try:
        listener = bind(HOST, port)
    except ChargehandError as error:
        log.warning("this process's numbers cannot be read; CHARGEHAND_METRICS_PORT", error=error.message)
        yield
        return

    async def read_metrics(request: Request) -> Response:
        del request
        return Response(exposed(), media_type=CONTENT_TYPE)

    stopping = asyncio.Event()
    only_here = Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    app = Starlette(routes=[Route(PATH, read_metrics, methods=["GET"])], middleware=[only_here])
    with listener:
        serving = asyncio.create_task(run_on(listener, config_for(app), stopping, lambda: None, lambda: None))
        try:
            yield
        finally:
            stopping.set()
            await asyncio.gather(serving, return_exceptions=True)
