"""A valid key in any other place than one header `Authorization: Bearer …` opens nothing."""

import httpx2
import pytest
from starlette.requests import Request

from chargehand.errors import Unauthorized
from chargehand.serve.auth import principal_of
from tests.api.service import Service


async def test_a_valid_key_under_another_scheme_is_none(
    service: Service, stranger: httpx2.AsyncClient
) -> None:
    for scheme in ("Basic ", "Token ", "Bearer", "", "Bearer:", "Bearer\t"):
        answer = await stranger.get("/tasks", headers={"Authorization": f"{scheme}{service.key}"})
        assert answer.status_code == 401, scheme
    for scheme in ("Bearer ", "bearer ", "BEARER  "):
        answer = await stranger.get("/tasks", headers={"Authorization": f"{scheme}{service.key}"})
        assert answer.status_code == 200, scheme


async def test_a_key_with_more_behind_it_is_none(service: Service, stranger: httpx2.AsyncClient) -> None:
    answer = await stranger.get("/tasks", headers={"Authorization": f"Bearer {service.key}{' ' * 600}x"})

    assert answer.status_code == 401


def test_a_route_that_was_reached_without_a_principal_is_closed() -> None:
    with pytest.raises(Unauthorized):
        principal_of(Request({"type": "http", "headers": []}))
