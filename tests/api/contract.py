"""Holds every answer that a test sees to what the OpenAPI document and the wire models say of it."""

from typing import Any, cast

import httpx2
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.routing import Match

from chargehand.serve.openapi import openapi_of
from chargehand.wire.rest import PROBLEM_TYPE, ProblemBody

SECURE = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
}


async def hold_to_contract(app: FastAPI, response: httpx2.Response) -> None:
    """Raise AssertionError for an answer that is not declared, or not of the declared shape."""
    for name, value in SECURE.items():
        assert response.headers.get(name) == value, name
    assert response.headers["x-request-id"]
    assert "no-store" in response.headers["cache-control"]
    assert "default-src 'none'" in response.headers["content-security-policy"]
    media_type = response.headers.get("content-type", "").partition(";")[0]
    declared = _declared(app, response)
    if declared is not None:
        assert media_type in (declared or [""]), f"{response.status_code} {media_type} is not declared"
    if media_type == "text/event-stream":
        return
    await response.aread()
    if media_type == PROBLEM_TYPE:
        assert response.json()["status"] == response.status_code
        _has_shape(response, ProblemBody)
    model = _model(app, response)
    if media_type == "application/json" and model is not None:
        _has_shape(response, model)


def _route(app: FastAPI, response: httpx2.Response) -> APIRoute | None:
    request = response.request
    scope: dict[str, Any] = {
        "type": "http",
        "path": request.url.path,
        "method": request.method,
        "headers": [],
    }
    for route in app.router.routes:
        if isinstance(route, APIRoute) and route.matches(scope)[0] is Match.FULL:
            return route
    return None


_DOCUMENTS: list[dict[str, Any]] = []


def _document(app: FastAPI) -> dict[str, Any]:
    """Made once for all tests: it depends on no settings, and making it takes longer than a test."""
    if not _DOCUMENTS:
        _DOCUMENTS.append(openapi_of(app))
    return _DOCUMENTS[0]


def _declared(app: FastAPI, response: httpx2.Response) -> list[str] | None:
    """Media types declared for this status; None where no route was reached."""
    route = _route(app, response)
    if route is None:
        return None
    operation = _document(app)["paths"][route.path_format][response.request.method.lower()]
    answer = operation["responses"].get(str(response.status_code))
    assert answer is not None, f"{route.path}: {response.status_code} is not declared: {response.text[:300]}"
    return list(answer.get("content", {}))


def _model(app: FastAPI, response: httpx2.Response) -> type[BaseModel] | None:
    route = _route(app, response)
    return None if route is None else route.responses.get(response.status_code, {}).get("model")


def _has_shape(response: httpx2.Response, model: type[BaseModel]) -> None:
    body: object = response.json()
    read = model.model_validate_json(response.content, strict=True)
    assert _keys(body) == _keys(read.model_dump(mode="json", exclude_unset=True))


def _keys(node: object) -> object:
    """The names in a body, without the values."""
    if isinstance(node, dict):
        mapping = cast("dict[str, Any]", node)
        return {key: _keys(value) for key, value in mapping.items()}
    if isinstance(node, list):
        return [_keys(item) for item in cast("list[Any]", node)]
    return None
