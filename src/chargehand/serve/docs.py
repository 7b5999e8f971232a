"""The OpenAPI document, and a page made of it that needs no script and nothing from elsewhere."""

import asyncio
import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from chargehand.serve.openapi import openapi_of
from chargehand.serve.routes import Answer, JsonResponse, Route
from chargehand.serve.secure_headers import policy
from chargehand.wire.answers import to_json

_FOLDER = Path(__file__).parent / "templates"
_METHODS = ("get", "post", "put", "patch", "delete")
_COOKIE = "-b cookies.txt"
_SHOWN_BY = {
    "key": ('-H "Authorization: Bearer $CHARGEHAND_KEY"',),
    "session": (_COOKIE,),
    "session and csrf": (_COOKIE, '-H "Origin: $CHARGEHAND_URL"', '-H "X-CSRF-Token: $CSRF_TOKEN"'),
}
"""What a command line shows, for each way in."""


@dataclass(frozen=True)
class DocumentRoutes:
    """Both are made at the first request and kept."""

    app: FastAPI

    @cached_property
    def _document(self) -> bytes:
        return to_json(openapi_of(self.app))

    @cached_property
    def _page(self) -> tuple[str, str]:
        """The page, and the policy that allows its one style sheet and nothing else."""
        from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 - for those who read it

        style = (_FOLDER / "docs.css").read_text(encoding="utf-8")
        environment = Environment(
            loader=FileSystemLoader(_FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        document = openapi_of(self.app)
        page = environment.get_template("docs.html").render(
            info=document["info"],
            operations=operations(document),
            schemas=document["components"]["schemas"],
            schemes=document["components"]["securitySchemes"],
            ways_in=ways_in,
            style=style,
            type_of=type_of,
        )
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        return page, policy(style=f"'sha256-{digest}'").header_value

    async def openapi_document(self, request: Request) -> Response:
        """This API as an OpenAPI 3.1 document."""
        del request
        # The first time it takes long enough to be felt by others on the event loop.
        return Response(await asyncio.to_thread(lambda: self._document), media_type=JsonResponse.media_type)

    async def docs(self, request: Request) -> Response:
        """This API as a page for people."""
        del request
        page, allowed = await asyncio.to_thread(lambda: self._page)
        return Response(page, media_type="text/html", headers={"Content-Security-Policy": allowed})

    def routes(self) -> Sequence[Route]:
        """What is registered."""
        document = Answer(description="The document.", media_types=("application/json",))
        page = Answer(description="The page.", media_types=("text/html",))
        return [
            Route(
                method="GET", path=path, endpoint=endpoint, needs=None, tag="documents", answers={200: answer}
            )
            for path, endpoint, answer in (
                ("/openapi.json", self.openapi_document, document),
                ("/docs", self.docs, page),
            )
        ]


def operations(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every operation with its method and path, in the document's order."""
    return [
        {"method": method.upper(), "path": path, "curl": curl_of(method, path, item[method]), **item[method]}
        for path, item in document["paths"].items()
        for method in _METHODS
        if method in item
    ]


def curl_of(method: str, path: str, operation: Mapping[str, Any]) -> str:
    """A command line that calls the operation."""
    parts = ["curl -sS"]
    if method != "get":
        parts.append(f"-X {method.upper()}")
    parts += _SHOWN_BY.get(ways_in(operation)[0], ()) if operation.get("security") else ()
    if "requestBody" in operation:
        parts.append("-H 'Content-Type: application/json' -d @body.json")
    return " ".join([*parts, f'"$CHARGEHAND_URL{path}"'])


def ways_in(operation: Mapping[str, Any]) -> list[str]:
    """What each way to be let in asks for, in words: `key`, `session and csrf`."""
    return [" and ".join(one) for one in operation.get("security", ())]


def type_of(schema: Mapping[str, Any]) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(type_of(one) for one in schema[key])
    if "enum" in schema:
        return " | ".join(str(one) for one in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    if schema.get("type") == "array":
        return f"list of {type_of(schema.get('items', {}))}"
    words = [str(schema.get("type", "any"))]
    words += [str(schema["format"])] if "format" in schema else []
    bounds = [f"{name} {schema[name]}" for name in ("minimum", "maximum", "maxLength") if name in schema]
    return " ".join(words) + (f" ({', '.join(bounds)})" if bounds else "")
