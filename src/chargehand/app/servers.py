"""What is told of the servers beside the database, and of the drive below it, at a start and by `chargehand doctor`.

Rule: none of them stops a start. Without Redis and without a broker processes look into the rows.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import structlog

from chargehand.app.fleet import BROKER, check_broker_url
from chargehand.errors import ChargehandError, InvalidInput
from chargehand.settings import Settings
from chargehand.store import network_drive
from chargehand.store.redis_checks import redis_problems

log = structlog.stdlib.get_logger("chargehand.start")

WITHOUT_REDIS = "until then processes look into the rows, and rates are counted by each process"
WITHOUT_BROKER = "until then workers find tasks in the rows, up to a second later"


async def problems_of_redis(settings: Settings) -> list[str]:
    """What is wrong with what CHARGEHAND_REDIS_URL names."""
    return [] if settings.redis_url is None else await redis_problems(settings.redis_url)


async def problems_of_broker(settings: Settings) -> list[str]:
    """What is wrong with what CHARGEHAND_BROKER_URL names, where the engine needs it."""
    url = settings.broker_url
    if url is None or settings.engine != "celery":
        return []
    try:
        check_broker_url(url)
    except InvalidInput as error:
        return [error.message]
    if urlsplit(url).scheme in {"redis", "rediss"}:
        return await redis_problems(url, setting=BROKER, is_broker=True)
    try:
        from chargehand.engine.celery_broker import amqp_problems  # noqa: PLC0415 - an extra
    except ImportError:
        return [f"{BROKER} needs Celery; install it with: pip install 'chargehand[celery]'"]
    return await asyncio.to_thread(amqp_problems, url)


@asynccontextmanager
async def telling_of_servers(settings: Settings) -> AsyncGenerator[None, None]:
    """Beside the start, which waits for none of them, warn of each that will not do."""
    telling = asyncio.create_task(_tell(settings))
    try:
        yield
    finally:
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


async def _tell(settings: Settings) -> None:
    if settings.database_url is None:
        kind = await asyncio.to_thread(network_drive.kind_of, settings.data_dir)
        if kind is not None:
            log.warning(network_drive.warning(settings.data_dir, kind))
    for look, without in ((problems_of_redis, WITHOUT_REDIS), (problems_of_broker, WITHOUT_BROKER)):
        try:
            problems = await look(settings)
        except ChargehandError as error:
            problems = [error.message]
        for problem in problems:
            log.warning(problem, meanwhile=without)
