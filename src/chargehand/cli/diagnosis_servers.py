"""The servers that the settings name, and the drive below SQLite, as `chargehand doctor` looks at them.

Rule: each is asked, and nothing is changed there; no password is shown.
"""

from chargehand.app.fleet import check_fleet
from chargehand.app.servers import WITHOUT_BROKER, WITHOUT_REDIS, problems_of_broker, problems_of_redis
from chargehand.cli.databases import look_at_database, look_at_drive
from chargehand.cli.found import Found, State
from chargehand.errors import InvalidInput
from chargehand.settings import Settings
from chargehand.store.address import shown


async def servers(settings: Settings) -> list[Found]:
    """The database, its drive where that is a network's, then Redis, the broker and the engine where they are set."""
    found = [await look_at_database(settings)]
    if (drive := look_at_drive(settings)) is not None:
        found.append(drive)
    try:
        check_fleet(settings)
    except InvalidInput as error:
        found.append(Found(name="engine", state="fail", message=error.message))
    if settings.redis_url is not None:
        problems = await problems_of_redis(settings)
        found.append(_one("redis", settings.redis_url, problems, "warn", WITHOUT_REDIS))
    if settings.broker_url is not None and settings.engine == "celery":
        problems = await problems_of_broker(settings)
        found.append(_one("broker", settings.broker_url, problems, "fail", WITHOUT_BROKER))
    return found


def _one(name: str, url: str, problems: list[str], state: State, without: str) -> Found:
    if problems:
        return Found(name=name, state=state, message="; ".join(problems), way_out=without)
    return Found(name=name, state="ok", message=f"{shown(url)} answers")
