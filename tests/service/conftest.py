"""Every use case is tested on every database."""

import pytest


@pytest.fixture(autouse=True)
def on_each_database(database: str) -> None:
    """`database` does it."""
    del database
