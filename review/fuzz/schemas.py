"""Values that fit a JSON schema of the OpenAPI document, as far as a fuzzer needs it: most pass, some come near."""

from random import Random
from typing import Any, cast

from review.fuzz import agents, hostile

Schema = dict[str, Any]
_DEPTH = 5
# What patterns and formats ask for, by a part of them that is easily told apart.
_FITTING: dict[str, tuple[Any, ...]] = {
    "[0-9a-f]{8}(-": ("0190f7a2-91b4-7c3d-8a55-0242ac120002",),
    "[0-9a-f]{64}": ("0" * 64,),
    "date-time": ("2036-07-01T12:00:00Z", "2027-01-01T00:00:00+14:00"),
    "^[a-z0-9]([": ("echo", "backend-developer", "a"),
    "date": ("2026-07-01",),
}
_BY_NAME: dict[str, tuple[str, ...]] = {
    "source": (agents.ECHO, agents.ECHO.replace("Says", "Repeats")),
    "cron": ("@daily", "*/5 9-17 * * mon-fri"),
    "time_zone": ("UTC", "Europe/Berlin"),
    "agent_id": ("echo",),
    "url": ("https://example.com/hook", "https://127.0.0.1/", "http://[::1]:80/"),
}
"""Fields whose schema says less than what they take."""


class Fitting:
    """Makes values for the schemas of one document."""

    def __init__(self, document: Schema) -> None:
        self._schemas: dict[str, Schema] = document.get("components", {}).get("schemas", {})

    def value(self, rng: Random, schema: Schema, depth: int = 0) -> Any:
        """One that should be taken, or nearly."""
        schema = self._resolved(schema)
        for name in ("const", "enum", "default", "examples"):
            if name in schema and (name in ("const", "enum") or rng.random() < 0.3):
                known = schema[name]
                return (
                    rng.choice(cast("list[Any]", known))
                    if isinstance(known, list) and known
                    else cast("Any", known)
                )
        for name in ("anyOf", "oneOf", "allOf"):
            if name in schema:
                return self.value(rng, rng.choice(schema[name]), depth + 1)
        return self._of_type(rng, schema, depth)

    def _resolved(self, schema: Schema) -> Schema:
        while "$ref" in schema:
            schema = self._schemas[str(schema["$ref"]).rpartition("/")[2]]
        return schema

    def _of_type(self, rng: Random, schema: Schema, depth: int) -> Any:
        kind = schema.get("type")
        match rng.choice(cast("list[str]", kind)) if isinstance(kind, list) else kind:
            case "object":
                return self._object(rng, schema, depth)
            case "array":
                count = rng.randrange(min(int(schema.get("maxItems", 3)), 3) + 1) if depth < _DEPTH else 0
                return [self.value(rng, schema.get("items", {}), depth + 1) for _ in range(count)]
            case "integer":
                return _number(rng, schema, whole=True)
            case "number":
                return _number(rng, schema, whole=False)
            case "boolean":
                return rng.random() < 0.5
            case "null":
                return None
            case _:
                return _text(rng, schema)

    def _object(self, rng: Random, schema: Schema, depth: int) -> dict[str, Any]:
        required = set(schema.get("required", ()))
        found: dict[str, Any] = {
            name: rng.choice(_BY_NAME[name])
            if name in _BY_NAME and rng.random() < 0.8
            else self.value(rng, one, depth + 1)
            for name, one in cast("dict[str, Schema]", schema.get("properties", {})).items()
            if name in required or rng.random() < 0.3
        }
        more = schema.get("additionalProperties")
        if isinstance(more, dict) and depth < _DEPTH:
            for _ in range(rng.randrange(3)):
                found[rng.choice(("a", "team", "x.y"))] = self.value(rng, cast("Schema", more), depth + 1)
        return found


def _number(rng: Random, schema: Schema, *, whole: bool) -> float | int:
    least = schema.get("minimum", schema.get("exclusiveMinimum", -5))
    most = schema.get("maximum", schema.get("exclusiveMaximum", least + 100))
    beyond = (least - 1, most + 1)
    edge = rng.choice(beyond if rng.random() < 0.1 else (least, most, (least + most) / 2))
    return int(edge) if whole else float(edge)


def _text(rng: Random, schema: Schema) -> str:
    told = f"{schema.get('pattern', '')} {schema.get('format', '')}"
    for part, values in _FITTING.items():
        if part in told:
            return rng.choice(values)
    if rng.random() < 0.1:
        return hostile.text(rng)
    least, most = int(schema.get("minLength", 0)), int(schema.get("maxLength", 20))
    return "abcdefgh-"[: rng.randrange(1, 9)].ljust(rng.choice((least, 1)), "x")[: max(most, 1)]
