"""What the settings of a fleet must be before anything is touched."""

from chargehand.domain.queues import check_queues
from chargehand.errors import InvalidInput
from chargehand.settings import Settings
from chargehand.store.address import each_of, split_address

BROKER = "CHARGEHAND_BROKER_URL"
BROKERS = ("redis", "rediss", "amqp", "amqps")


def check_fleet(settings: Settings) -> None:
    """InvalidInput names the setting that a fleet lacks, or whose value no broker takes."""
    check_queues(settings.agent_queues)
    if settings.broker_url is not None:
        check_broker_url(settings.broker_url)
    if settings.engine != "celery":
        return
    if settings.database_url is None:
        raise InvalidInput(
            "CHARGEHAND_ENGINE=celery needs a database server that all processes reach: set CHARGEHAND_DATABASE_URL to"
            " postgresql://… or mysql://…; the SQLite file belongs to one process (CHARGEHAND_ENGINE=embedded)"
        )
    if settings.broker_url is None:
        raise InvalidInput(
            "CHARGEHAND_ENGINE=celery needs a broker: set CHARGEHAND_BROKER_URL to redis://… or amqp://…"
        )


def check_broker_url(url: str) -> None:
    """InvalidInput for what is no address of a broker. The message shows no password."""
    if any(split_address(one, BROKER).scheme not in BROKERS for one in each_of(url)):
        raise InvalidInput(f"{BROKER} must begin with redis:// or amqp:// (with TLS: rediss:// or amqps://)")
