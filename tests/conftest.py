"""What every test may rely on: the loopback is the only network, and no missing server is passed over in CI.

`postgresql_url`, `mysql_url`, `redis_url` and `rabbitmq_url` give the address of a server that a test may
fill and empty; tests/README.md says how to bring one.
"""

import sys
from typing import Any

import pytest
import structlog

from tests.databases import KINDS, VARIABLE, a_database
from tests.network import refuse_other_than_loopback
from tests.servers import server_or_skip


def pytest_configure() -> None:
    sys.addaudithook(_watch_network)
    # The default draws tracebacks with every local variable, which takes longer than most tests.
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["level", "event"]),
        ]
    )


def _watch_network(event: str, arguments: tuple[Any, ...]) -> None:
    if event in {"socket.connect", "socket.bind", "socket.sendto"}:
        refuse_other_than_loopback(event, arguments[1])


@pytest.fixture(scope="session")
def postgresql_url() -> str:
    return server_or_skip("postgresql")


@pytest.fixture(scope="session")
def mysql_url() -> str:
    return server_or_skip("mysql")


@pytest.fixture(scope="session")
def redis_url() -> str:
    return server_or_skip("redis")


@pytest.fixture(scope="session")
def rabbitmq_url() -> str:
    return server_or_skip("rabbitmq")


@pytest.fixture(params=KINDS)
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The kind of database that the test's services keep their rows in; each kind in turn."""
    kind: str = request.param
    if kind != "sqlite":
        monkeypatch.setenv(VARIABLE, a_database(kind))
    return kind
