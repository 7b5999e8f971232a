"""What every test may rely on: the loopback is the only network, and no missing server is passed over in CI.

`postgresql_url`, `mysql_url`, `redis_url` and `rabbitmq_url` give the address of a server that a test may
fill and empty; tests/README.md says how to bring one.
"""

import base64
import sys
from typing import Any

import pytest
import structlog

from tests.databases import KINDS, VARIABLE, a_database
from tests.network import refuse_other_than_loopback
from tests.servers import server_or_skip

MASTER_KEY = base64.b64encode(bytes(range(32))).decode()
BEGUN_FIRST = (
    *("test_crash_servers.py", "test_model_crashes.py", "test_crash_matrix.py", "test_approval_crashes.py"),
    *("test_fleet_demo.py", "test_demo.py", "test_celery_fleet.py", "test_generated_projects.py"),
    *("test_run.py", "test_documents.py", "test_example.py", "test_replicas.py"),
    *("test_lives.py", "test_matrix.py", "test_model_faults.py", "test_own_service.py"),
)
"""The files that take minutes: begun last, they would be waited for by processes that have nothing left to test."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {name: place for place, name in enumerate(BEGUN_FIRST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


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
    return placed_on(request.param, monkeypatch)


def placed_on(kind: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have services keep their rows in a database of this kind."""
    if kind != "sqlite":
        monkeypatch.setenv(VARIABLE, a_database(kind))
        # As an operator of a database server must name one.
        monkeypatch.setenv("CHARGEHAND_MASTER_KEY", MASTER_KEY)
    return kind
