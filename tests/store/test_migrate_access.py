"""The migration to keys with more to them, tenants and rights, with the rows that there were before it."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from chargehand.store import migrate
from tests.databases import an_empty_database, execute, found
from tests.store.test_server_migrate import upgrade, upgrade_to
from tests.store.test_tables import GOOD, put_statement

Found = Callable[[str], list[tuple[object, ...]]]
ROWS = (
    put_statement("agent_tasks", GOOD),
    put_statement("lanes", {"tenant": "shop", "agent_id": "a", "priority": 0}),
    *(
        put_statement(
            "api_keys",
            {
                "id": f"{tenant}{name}"[:16],
                "tenant": tenant,
                "name": name,
                "key_hash": "0" * 32,
                "last_four": "abcd",
                "scopes": json.dumps(scopes),
                "created_at": 1,
            },
        )
        for tenant, name, scopes in (
            ("default", "admin", ["admin"]),
            ("default", "ci", ["admin"]),
            ("lab", "admin", ["admin"]),
        )
    ),
)


def check(ask: Found) -> None:
    tenants = ask("SELECT id, display_name, created_by, suspended_at FROM tenants ORDER BY id")
    assert tenants == [(one, one, "upgrade", None) for one in ("default", "lab", "shop")]
    scopes = ask("SELECT tenant, name, scopes FROM api_keys ORDER BY tenant, name")
    assert [(tenant, name, _loaded(text)) for tenant, name, text in scopes] == [
        ("default", "admin", ["admin", "admin:service"]),
        ("default", "ci", ["admin"]),
        ("lab", "admin", ["admin"]),
    ]
    nothing = ask("SELECT roles, agents, replaces, created_by, last_used_at FROM api_keys")
    assert set(nothing) == {(None,) * 5}
    assert ask("SELECT id, rights FROM agent_tasks") == [("t1", None)]


def _loaded(value: object) -> object:
    return json.loads(value) if isinstance(value, str) else value


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_on_a_server_the_rows_are_kept_and_the_operator_sees_to_tenants(kind: str) -> None:
    with an_empty_database(kind) as url:
        upgrade_to(url, "0003")
        execute(url, *ROWS)

        upgrade(url)

        check(lambda statement: found(url, statement))


def test_in_a_file_the_rows_are_kept_and_the_operator_sees_to_tenants(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    engine = create_engine(f"sqlite:///{path}")
    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
    engine.dispose()
    with closing(sqlite3.connect(path)) as connection, connection:
        for row in ROWS:
            connection.execute(row)

    assert migrate.upgrade(path) == "0003"

    with closing(sqlite3.connect(path)) as connection:
        check(lambda statement: connection.execute(statement).fetchall())


def test_a_database_that_is_new_has_no_tenant_before_the_first_start(tmp_path: Path) -> None:
    migrate.upgrade(tmp_path / "x.db")

    with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        assert connection.execute("SELECT * FROM tenants").fetchall() == []
