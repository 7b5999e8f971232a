"""The JSON schema that an agent's answer must fit: what is taken as one, and what is wrong with an answer.

Rule: a schema comes from a caller or a definition, so it is bounded: small, only its own parts are referred to,
patterns that cannot run away, and no parts that multiply when they are followed.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from chargehand.domain.values import JsonObject, JsonValue, canonical, check_json
from chargehand.errors import InvalidInput, RuntimeMissing

if TYPE_CHECKING:
    from jsonschema_rs import Validator

MAX_SCHEMA_BYTES = 32 * 1024
MAX_SCHEMA_DEPTH = 24
MAX_SCHEMA_NODES = 4_000
MAX_WORK = 10_000
"""Schemas that one value may have to be held against, references followed."""
MAX_TOLD_ERRORS = 10
MAX_TOLD_CHARACTERS = 300

_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
_SAME_VALUE_LISTS = ("allOf", "anyOf", "oneOf")
_SAME_VALUE = ("not", "if", "then", "else")


def check_schema(schema: JsonObject) -> None:
    """InvalidInput, which says what is wrong, when answers cannot be held against this; RuntimeMissing."""
    check_json(schema, max_depth=MAX_SCHEMA_DEPTH, max_nodes=MAX_SCHEMA_NODES)
    text = canonical(schema)
    if len(text) > MAX_SCHEMA_BYTES:
        raise InvalidInput(f"output_schema has {len(text):,} characters; {MAX_SCHEMA_BYTES:,} are the most")
    _refuse_remote(schema)
    _Work(schema).refuse_much()
    validator_of(text)


def errors_of(schema: JsonObject, value: JsonValue) -> list[str]:
    """What is wrong with a value, each with its place; nothing when it fits."""
    found: list[str] = []
    for error in validator_of(canonical(schema)).iter_errors(value):
        place = "/".join(str(part) for part in error.instance_path) or "the result"
        found.append(f"{place}: {error.message}"[:MAX_TOLD_CHARACTERS])
        if len(found) == MAX_TOLD_ERRORS:
            break
    return found


@lru_cache(maxsize=64)
def validator_of(text: str) -> "Validator":
    """The validator for a schema in its canonical spelling; made once. InvalidInput when it is no schema."""
    try:
        import jsonschema_rs  # noqa: PLC0415 - of an extra, and only for tasks that bring a schema
    except ImportError as missing:
        raise RuntimeMissing("output_schema needs an extra: `pip install chargehand[models]`") from missing
    try:
        # This engine of patterns takes linear time; look-around and back references are refused.
        return jsonschema_rs.validator_for(text, offline=True, pattern_options=jsonschema_rs.RegexOptions())
    except ValueError as error:
        said = str(error).partition("\n")[0]
        raise InvalidInput(f"output_schema is no JSON schema: {said[:MAX_TOLD_CHARACTERS]}") from error


def _refuse_remote(node: JsonValue) -> None:
    if isinstance(node, list):
        for one in node:
            _refuse_remote(one)
    elif isinstance(node, dict):
        for key in _REFERENCES:
            target = node.get(key)
            if isinstance(target, str) and not target.startswith("#"):
                raise InvalidInput(
                    f"output_schema refers to {target[:100]!r}; only its own parts (#/…) can be referred to"
                )
        for one in node.values():
            _refuse_remote(one)


@dataclass(slots=True)
class _Work:
    """How many schemas one value may be held against: parts that multiply, or lead in a circle, are refused."""

    root: JsonObject
    known: dict[int, int] = field(default_factory=dict[int, int])
    open: set[int] = field(default_factory=set[int])

    def refuse_much(self) -> None:
        stack: list[JsonValue] = [self.root]
        while stack:
            node = stack.pop()
            if isinstance(node, dict):
                if self._of(node) > MAX_WORK:
                    raise InvalidInput(
                        "output_schema has parts that multiply when they are followed; write it flat"
                    )
                stack.extend(node.values())
            elif isinstance(node, list):
                stack.extend(node)

    def _of(self, node: JsonValue) -> int:
        if not isinstance(node, dict):
            return 1
        if id(node) in self.known:
            return self.known[id(node)]
        if id(node) in self.open:
            raise InvalidInput("output_schema has a part that refers to itself with nothing in between")
        self.open.add(id(node))
        # Capped, so that the number stays small while it is added up.
        total = min(MAX_WORK + 1, 1 + sum(self._of(one) for one in self._same_value(node)))
        self.open.discard(id(node))
        self.known[id(node)] = total
        return total

    def _same_value(self, node: JsonObject) -> list[JsonValue]:
        """The schemas that the same value is held against too."""
        found = [node[key] for key in _SAME_VALUE if key in node]
        for key in _SAME_VALUE_LISTS:
            listed = node.get(key)
            found += listed if isinstance(listed, list) else []
        dependent = node.get("dependentSchemas")
        found += list(dependent.values()) if isinstance(dependent, dict) else []
        for key in _REFERENCES:
            target = node.get(key)
            if isinstance(target, str):
                found.append(self._pointed_at(target))
        return found

    def _pointed_at(self, target: str) -> JsonValue:
        """The part that `#/a/b` names. Anchors are not followed: they count as one."""
        node: JsonValue = self.root
        if target not in ("#", "#/") and not target.startswith("#/"):
            return None
        for raw in target[2:].split("/") if len(target) > 2 else []:
            name = raw.replace("~1", "/").replace("~0", "~")
            if isinstance(node, dict):
                node = node.get(name)
            elif isinstance(node, list) and name.isdecimal() and int(name) < len(node):
                node = cast("list[JsonValue]", node)[int(name)]
            else:
                return None
        return node
