"""The address of a database server, checked, and what each connection to it is limited by."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from sqlalchemy import exc, make_url
from sqlalchemy.engine import URL
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry

from chargehand.errors import InvalidInput, Unavailable

DRIVERS: Mapping[str, tuple[str, str]] = {
    "postgresql": ("asyncpg", "postgresql"),
    "postgres": ("asyncpg", "postgresql"),
    "mysql": ("asyncmy", "mysql"),
    "mariadb": ("asyncmy", "mysql"),
}
"""By the address's scheme: the driver, and the extra that installs it."""
SETTING = "CHARGEHAND_DATABASE_URL"
AT_SIGN = "an @ in a password as %40"
CONNECT_SECONDS = 10
ANSWER_MARGIN_SECONDS = 2
"""How much longer than a statement may take its answer is waited for: then nobody is there any more."""
VANISHED = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "2"}
"""Told to PostgreSQL: how soon it drops what a host that is gone has left, and with it the locks on tasks."""


def server_url(text: str) -> URL:
    """The address with the driver named in it; InvalidInput for what is none. No message shows a password."""
    try:
        url = make_url(text)
    except (exc.ArgumentError, ValueError):
        # A port that is no number is a ValueError, which quotes it: it may be the end of a password.
        raise InvalidInput(
            f"{SETTING} is no address; it looks like postgresql://user@host:5432/name; write {AT_SIGN}"
        ) from None
    if url.password is not None and "@" in _behind_user(text):
        # What stands there would be taken for the host, and shown, but is of the password.
        raise InvalidInput(f"{SETTING} has an @ behind the one before its host; write {AT_SIGN}")
    scheme = url.get_backend_name()
    if scheme not in DRIVERS or not url.database:
        known = ", ".join(f"{name}://" for name in ("postgresql", "mysql"))
        raise InvalidInput(
            f"{SETTING} ({url.render_as_string(hide_password=True)}) must begin with one of {known} and end with the"
            " name of a database; leave it unset for SQLite in the data folder"
        )
    driver, extra = DRIVERS[scheme]
    _require(driver, extra)
    family = "postgresql" if extra == "postgresql" else "mysql"
    return url.set(drivername=f"{family}+{driver}")


def _behind_user(text: str) -> str:
    """Of an address with a password: what SQLAlchemy takes for the host and all that follows."""
    return text.partition("://")[2].partition(":")[2].partition("@")[2]


def shown_url(url: URL) -> str:
    """The address as it was given, without its password."""
    return url.render_as_string(hide_password=True).replace(f"+{url.get_driver_name()}", "")


def _require(driver: str, extra: str) -> None:
    try:
        import_module(driver)
    except ImportError as error:
        raise Unavailable(
            f"{SETTING} needs the driver {driver}; install it with: pip install 'chargehand[{extra}]'"
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """How many connections a process has, and how long each may keep others waiting."""

    connections: int = 10
    statement_seconds: float = 30.0
    lock_seconds: float = 10.0
    idle_transaction_seconds: float = 60.0

    def connect_arguments(self, url: URL) -> dict[str, Any]:
        """What the driver is given."""
        # The server's own limit is of no use when its answer, or the question, is lost on the way.
        answer_seconds = self.statement_seconds + ANSWER_MARGIN_SECONDS
        if url.get_backend_name() == "mysql":
            return {
                "connect_timeout": CONNECT_SECONDS,
                "read_timeout": answer_seconds,
                "charset": "utf8mb4",
            }
        return {
            "timeout": CONNECT_SECONDS,
            "command_timeout": answer_seconds,
            "server_settings": {
                **VANISHED,
                "application_name": "chargehand",
                "jit": "off",
                "statement_timeout": _milliseconds(self.statement_seconds),
                "lock_timeout": _milliseconds(self.lock_seconds),
                "idle_in_transaction_session_timeout": _milliseconds(self.idle_transaction_seconds),
            },
        }

    def prepare_mysql(self, connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        """MariaDB and MySQL name their limits differently, and only the server says which it is."""
        del entry
        cursor = connection.cursor()
        try:
            cursor.execute("SELECT VERSION()")
            [version] = cursor.fetchone() or ("",)
            settings: dict[str, str | float] = {
                "innodb_lock_wait_timeout": max(1, round(self.lock_seconds)),
                "sql_mode": "'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION,ANSI_QUOTES'",
            }
            if "MariaDB" in str(version):
                settings["max_statement_time"] = self.statement_seconds
                settings["idle_transaction_timeout"] = max(1, round(self.idle_transaction_seconds))
            else:
                settings["max_execution_time"] = round(self.statement_seconds * 1000)
            assigned = ", ".join(f"SESSION {name} = {value}" for name, value in settings.items())
            cursor.execute(f"SET {assigned}")
        finally:
            cursor.close()


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))
