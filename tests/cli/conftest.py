"""One service for the tests that only talk to one; a fresh data folder for each test that needs its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.service import Cli, Running, cli_in, running_service


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cli, Running]]:
    cli = cli_in(tmp_path_factory.mktemp("shared"))
    with running_service(cli) as running:
        yield cli, running


@pytest.fixture
def cli(shared: tuple[Cli, Running]) -> Cli:
    """A command line on the data folder that the shared service holds."""
    return shared[0]


@pytest.fixture
def service(shared: tuple[Cli, Running]) -> Running:
    """The shared service."""
    return shared[1]


@pytest.fixture
def alone(tmp_path: Path) -> Cli:
    """A command line on a fresh data folder that nobody serves."""
    return cli_in(tmp_path)
