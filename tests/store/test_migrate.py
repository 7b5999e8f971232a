"""Migrations lead to the tables that the code uses, from empty, and refuse what they do not know."""

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from chargehand.errors import Unavailable
from chargehand.store import migrate
from chargehand.store.schema import METADATA


def schema(path: Path) -> dict[str, str]:
    """Table and index definitions as SQLite keeps them, white space apart."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")
        return {name: " ".join(sql.split()) for name, sql in rows if name != "alembic_version"}


def from_tables(path: Path) -> Path:
    engine = create_engine(f"sqlite:///{path}")
    METADATA.create_all(engine)
    engine.dispose()
    return path


def constraints(definition: str) -> set[str]:
    """The parts of a CREATE TABLE, in any order."""
    body = definition[definition.index("(") + 1 : definition.rindex(")")]
    parts, depth, start = set[str](), 0, 0
    for position, character in enumerate(body):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.add(body[start:position].strip())
            start = position + 1
    return parts | {body[start:].strip()}


def test_an_empty_file_becomes_the_schema_of_the_tables(tmp_path: Path) -> None:
    migrated, created = tmp_path / "migrated.db", from_tables(tmp_path / "created.db")

    assert migrate.upgrade(migrated) is None

    assert migrate.current_revision(migrated) == migrate.HEAD
    if os.name != "nt":
        assert stat.S_IMODE(migrated.stat().st_mode) == 0o600
    ours, theirs = schema(migrated), schema(created)
    assert set(ours) == set(theirs)
    assert {name: constraints(sql) for name, sql in ours.items()} == {
        name: constraints(sql) for name, sql in theirs.items()
    }


def test_alembic_finds_nothing_to_add(tmp_path: Path) -> None:
    migrate.upgrade(tmp_path / "x.db")
    engine = create_engine(f"sqlite:///{tmp_path / 'x.db'}")
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), METADATA)
    engine.dispose()

    assert differences == []


def test_upgrading_twice_changes_nothing(tmp_path: Path) -> None:
    migrate.upgrade(tmp_path / "x.db")
    before = schema(tmp_path / "x.db")

    assert migrate.upgrade(tmp_path / "x.db") == migrate.HEAD
    assert schema(tmp_path / "x.db") == before


def test_head_is_the_newest_revision() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).parent / "migrations"))

    assert ScriptDirectory.from_config(config).get_current_head() == migrate.HEAD


def test_a_database_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    migrate.upgrade(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()

    with pytest.raises(Unavailable, match="revision 9999, which is newer"):
        migrate.upgrade(path)

    assert migrate.current_revision(path) == "9999"


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(b"This is a letter, not a database. " * 100)

    with pytest.raises(Unavailable, match=r"x\.db cannot be opened"):
        migrate.upgrade(path)

    assert path.read_bytes().startswith(b"This is a letter")


def test_a_folder_in_place_of_the_file_is_told_plainly(tmp_path: Path) -> None:
    (tmp_path / "x.db").mkdir()

    with pytest.raises(Unavailable, match=r"x\.db cannot be"):
        migrate.upgrade(tmp_path / "x.db")
