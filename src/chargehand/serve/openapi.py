"""The OpenAPI document: what FastAPI makes of the routes, with the bodies and problem shapes that it cannot see."""

from typing import Any, cast

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

from chargehand.serve.routes import bodies_of
from chargehand.serve.security_schemes import security_schemes
from chargehand.wire.rest import JSON_OBJECT_SCHEMA, JSON_VALUE_SCHEMA, REF_MARK, ProblemBody

DESCRIPTION = (
    "Hand tasks to AI agents and get back what they deliver, checked. Every answer that tells of an error is"
    " application/problem+json with a stable `code`. Times are RFC 3339 in UTC, durations are in seconds."
)
_SCHEMA_PLACE = "#/components/schemas/{model}"


def openapi_of(app: FastAPI) -> dict[str, Any]:
    """The document, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        components = document.setdefault("components", {})
        components["securitySchemes"] = security_schemes(app.state.session_cookie)
        _, made = models_json_schema(
            [(model, "validation") for model in (*bodies_of(app), ProblemBody)],
            ref_template=_SCHEMA_PLACE,
        )
        components.setdefault("schemas", {}).update(
            made["$defs"] | {"JsonValue": JSON_VALUE_SCHEMA, "JsonObject": JSON_OBJECT_SCHEMA}
        )
        app.openapi_schema = document = _with_refs(document)
        return document
    return app.openapi_schema


def _with_refs(node: Any) -> Any:
    """Marks turned into references; what stands beside a mark (title, description) goes with it."""
    if isinstance(node, dict):
        mapping = cast("dict[str, Any]", node)
        if REF_MARK in mapping:
            return {"$ref": f"#/components/schemas/{mapping[REF_MARK]}"}
        return {key: _with_refs(value) for key, value in mapping.items()}
    if isinstance(node, list):
        return [_with_refs(item) for item in cast("list[Any]", node)]
    return node
