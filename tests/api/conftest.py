"""One service for each test, and clients that hold its administrator's key or none."""

from collections.abc import AsyncGenerator
from pathlib import Path

import httpx2
import pytest

from tests.api.service import Service, open_service


@pytest.fixture
async def service(tmp_path: Path) -> AsyncGenerator[Service, None]:
    async with open_service(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
async def client(service: Service) -> AsyncGenerator[httpx2.AsyncClient, None]:
    async with service.client(service.key) as opened:
        yield opened


@pytest.fixture
async def stranger(service: Service) -> AsyncGenerator[httpx2.AsyncClient, None]:
    """Without a key."""
    async with service.client(None) as opened:
        yield opened
