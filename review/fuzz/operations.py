"""What there is to call, read from the application itself: a route that is added is called without a word here."""

import re
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Match

from chargehand.serve.openapi import openapi_of

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path, as the document has it."""

    method: str
    template: str
    queries: tuple[tuple[str, Schema], ...]
    headers: tuple[tuple[str, Schema], ...]
    path: tuple[tuple[str, Schema], ...]
    bodies: tuple[tuple[str, Schema], ...]
    """Media type and schema."""
    answers: dict[str, frozenset[str]]
    """Declared statuses, each with its media types."""

    def __str__(self) -> str:
        return f"{self.method} {self.template}"


def operations_of(document: Schema) -> list[Operation]:
    """Every operation of an OpenAPI document."""
    paths: dict[str, dict[str, Schema]] = document["paths"]
    return [
        _operation(method.upper(), path, one)
        for path, item in paths.items()
        for method, one in item.items()
        if "responses" in one
    ]


def _operation(method: str, path: str, one: Schema) -> Operation:
    by_place: dict[str, list[tuple[str, Schema]]] = {"query": [], "header": [], "path": []}
    for parameter in one.get("parameters", ()):
        by_place[parameter["in"]].append((parameter["name"], parameter["schema"]))
    content: dict[str, Schema] = one.get("requestBody", {}).get("content", {})
    return Operation(
        method=method,
        template=path,
        queries=tuple(by_place["query"]),
        headers=tuple(by_place["header"]),
        path=tuple(by_place["path"]),
        bodies=tuple((media_type, described.get("schema", {})) for media_type, described in content.items()),
        answers={status: frozenset(said.get("content", {})) for status, said in one["responses"].items()},
    )


class Reached:
    """Which operation a request reaches."""

    def __init__(self, app: FastAPI) -> None:
        self._routes = [route for route in app.router.routes if isinstance(route, APIRoute)]
        self.document = openapi_of(app)
        self.operations = operations_of(self.document)
        self._by_name = {(one.method, one.template): one for one in self.operations}

    def by(self, method: str, path: str) -> Operation | None:
        """The operation, or None where no route takes it."""
        scope: dict[str, Any] = {"type": "http", "path": path, "method": method, "headers": []}
        for route in self._routes:
            if route.matches(scope)[0] is Match.FULL:
                return self._by_name.get((method, re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path)))
        return None
