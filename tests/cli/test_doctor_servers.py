"""Servers that will not do, as `chargehand doctor` and the processes themselves tell of them at a start."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest

from chargehand.store.migrate import HEAD
from tests.cli.service import Cli
from tests.databases import a_database, execute, found
from tests.servers import server_or_skip


@pytest.fixture
def postgresql() -> Iterator[str]:
    """A migrated database whose revision a test may change."""
    url = a_database("postgresql")
    yield url
    execute(url, f"UPDATE alembic_version SET version_num = '{HEAD}'")  # noqa: S608 - our own constant


def checks_of(cli: Cli) -> dict[str, Any]:
    done = cli.call("doctor", "--json")
    assert "s3cret" not in done.stdout + done.stderr
    return {one["name"]: one for one in json.loads(done.stdout)["checks"]}


def on(cli: Cli, **settings: str) -> Cli:
    return cli.with_environment(**{f"CHARGEHAND_{name}": value for name, value in settings.items()})


def test_servers_that_answer_are_told_without_their_passwords(
    alone: Cli, postgresql: str, redis_url: str, rabbitmq_url: str
) -> None:
    fleet = on(alone, ENGINE="celery", DATABASE_URL=postgresql, REDIS_URL=redis_url, BROKER_URL=rabbitmq_url)

    checks = checks_of(fleet)

    assert {checks[name]["state"] for name in ("database", "redis", "broker")} == {"ok"}
    assert f"at revision {HEAD}" in checks["database"]["message"]
    password = urlsplit(rabbitmq_url).password or "guest"
    assert f":{password}@" not in json.dumps(checks)


def test_a_role_above_the_wall_between_tenants_is_told(alone: Cli, postgresql: str) -> None:
    place, server = urlsplit(postgresql), urlsplit(server_or_skip("postgresql"))
    as_superuser = server._replace(path=place.path).geturl()

    told = checks_of(on(alone, DATABASE_URL=as_superuser))["database"]

    assert told["state"] == "warn"
    assert "row-level security" in told["message"]
    assert "BYPASSRLS" in told["way_out"]


def test_servers_that_do_not_answer(alone: Cli, unused_tcp_port: int) -> None:
    nowhere = f"127.0.0.1:{unused_tcp_port}"
    fleet = on(
        alone,
        ENGINE="celery",
        DATABASE_URL=f"postgresql://me:s3cret@{nowhere}/x",
        REDIS_URL=f"redis://:s3cret@{nowhere}/0",
        BROKER_URL=f"amqp://me:s3cret@{nowhere}//",
    )

    checks = checks_of(fleet)

    states = {name: checks[name]["state"] for name in ("database", "redis", "broker")}
    assert states == {"database": "fail", "redis": "warn", "broker": "fail"}
    for name in states:
        assert (
            f"CHARGEHAND_{'DATABASE' if name == 'database' else name.upper()}_URL" in checks[name]["message"]
        )


def test_a_fleet_without_a_database_is_told(alone: Cli) -> None:
    assert "CHARGEHAND_DATABASE_URL" in checks_of(on(alone, ENGINE="celery"))["engine"]["message"]


@pytest.mark.parametrize(("revision", "said"), [("9999", "newer than this version"), ("0002", "db upgrade")])
@pytest.mark.parametrize("process", ["serve", "worker", "upkeep"])
def test_a_schema_of_another_version_is_refused_by_every_process(
    alone: Cli, postgresql: str, redis_url: str, process: str, revision: str, said: str
) -> None:
    execute(postgresql, f"UPDATE alembic_version SET version_num = '{revision}'")  # noqa: S608 - of this test
    fleet = on(alone, DATABASE_URL=postgresql, BROKER_URL=redis_url, ENGINE="celery", PORT="0")

    done = fleet.run(process)

    assert done.returncode == 6, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert found(postgresql, "SELECT version_num FROM alembic_version") == [(revision,)]


def test_status_and_upgrade_of_a_server(alone: Cli, postgresql: str) -> None:
    cli = on(alone, DATABASE_URL=postgresql)

    ready = cli.call("db", "status")
    again = cli.call("db", "upgrade")
    execute(postgresql, "UPDATE alembic_version SET version_num = '9999'")
    newer = cli.call("db", "status", "--json")
    refused = cli.call("db", "upgrade")

    assert (ready.returncode, f"at revision {HEAD}" in ready.stdout) == (0, True)
    assert (again.returncode, "nothing to do" in again.stdout) == (0, True)
    assert (newer.returncode, json.loads(newer.stdout)["state"]) == (6, "fail")
    assert (refused.returncode, "newer than this version" in refused.stderr) == (6, True)


def test_upgrade_fills_an_empty_database_on_a_server(alone: Cli) -> None:
    server = server_or_skip("mysql")
    execute(server, "DROP DATABASE IF EXISTS chargehand_test_up", "CREATE DATABASE chargehand_test_up")
    url = urlsplit(server)._replace(path="/chargehand_test_up").geturl()
    try:
        done = on(alone, DATABASE_URL=url).call("db", "upgrade")

        assert f"brought from nothing to {HEAD}" in done.stdout, done.stderr
        assert found(url, "SELECT version_num FROM alembic_version") == [(HEAD,)]
    finally:
        execute(server, "DROP DATABASE chargehand_test_up")


def test_a_newer_sqlite_file_fails_and_status_changes_nothing(alone: Cli) -> None:
    none_yet = alone.call("db", "status")
    assert "none yet" in none_yet.stdout
    assert not alone.data_dir.exists()

    assert alone.call("db", "upgrade").returncode == 0
    with closing(sqlite3.connect(alone.data_dir / "chargehand.db")) as file, file:
        file.execute("UPDATE alembic_version SET version_num = '9999'")

    newer = alone.call("db", "status")

    assert newer.returncode == 6
    assert "newer than this version" in newer.stdout
