"""Which way processes tell each other that something changed: Redis, PostgreSQL, or nothing but the rows."""

from chargehand.settings import Settings
from chargehand.store.bus import Bus, Exchange
from chargehand.store.postgresql_bus import PostgresqlExchange
from chargehand.store.rates import LocalRates, Rates, RedisRates
from chargehand.store.redis_bus import RedisExchange
from chargehand.store.server_url import server_url
from chargehand.telemetry.metrics import Metrics


def bus_of(settings: Settings, metrics: Metrics) -> Bus:
    """Redis where it is set, else PostgreSQL itself, else none: then waiters poll. InvalidInput, Unavailable."""
    return Bus(_exchange(settings), metrics)


def _exchange(settings: Settings) -> Exchange | None:
    if settings.redis_url is not None:
        return RedisExchange(settings.redis_url)
    if settings.database_url is None:
        return None
    address = server_url(settings.database_url)
    return PostgresqlExchange(address) if address.get_backend_name() == "postgresql" else None


def rates_of(settings: Settings, bus: Bus) -> Rates:
    """Counted in Redis for all processes together, where it is set."""
    if settings.redis_url is None:
        return LocalRates()
    return RedisRates(settings.redis_url, lambda: bus.processes)
