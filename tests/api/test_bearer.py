"""A valid key in any other place than one header `Authorization: Bearer …` opens nothing."""

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import Response

from chargehand.errors import Unauthorized
from chargehand.serve.auth import MAX_KEY_BYTES, principal_of
from chargehand.serve.routes import Route
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


async def test_what_is_too_long_is_refused_for_its_length(stranger: httpx2.AsyncClient) -> None:
    told = "longer than 512 bytes"
    for token, is_told in (
        ("x" * MAX_KEY_BYTES, False),
        ("x" * (MAX_KEY_BYTES + 1), True),
        ("x." * 512, False),
    ):
        answer = await stranger.get("/tasks", headers={"Authorization": f"Bearer {token}"})
        assert (answer.status_code, told in answer.json()["detail"]) == (401, is_told)


def test_a_route_that_was_reached_without_a_principal_is_closed() -> None:
    with pytest.raises(Unauthorized):
        principal_of(Request({"type": "http", "headers": []}))


@pytest.mark.parametrize(
    ("method", "path", "is_open", "is_public"),
    [
        ("GET", "/health", False, True),
        ("POST", "/health", False, False),
        ("GET", "/metrics", True, True),
        ("POST", "/metrics", True, False),
        ("GET", "/metrics", False, False),
        ("GET", "/tasks", False, False),
    ],
)
def test_a_route_is_public_only_to_read_and_only_where_somebody_said_so(
    method: str, path: str, is_open: bool, is_public: bool
) -> None:
    async def endpoint(request: Request) -> Response:
        del request
        return Response()

    route = Route(
        method=method, path=path, endpoint=endpoint, needs=None, tag="x", answers={}, is_open=is_open
    )

    assert route.is_public is is_public


async def test_who_may_not_do_it_is_refused_before_anything_is_read(service: Service) -> None:
    async with service.client(service.key) as owner:
        made = await owner.post("/keys", json={"name": "reader", "scopes": ["tasks:read"]})
    async with service.client(made.json()["secret"]) as reader:
        answer = await reader.post("/webhooks", json={"nonsense": 1})

    assert answer.status_code == 403
