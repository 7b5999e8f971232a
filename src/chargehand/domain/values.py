"""JSON values, their one canonical spelling and the hashes that are made of it.

Rule: what is compared or hashed (arguments of a step, an agent's content, an idempotent payload) goes through
`canonical`, so that key order and number spelling never decide.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from typing import TypeAlias, Union, cast

from chargehand.errors import InvalidInput, PayloadTooLarge

JsonValue: TypeAlias = Union[str, int, float, bool, "list[JsonValue]", "dict[str, JsonValue]", None]
JsonObject: TypeAlias = dict[str, JsonValue]

MAX_SAFE_INTEGER = 2**53 - 1
"""Beyond it JavaScript and other JSON readers lose digits (RFC 8259 section 6)."""


def canonical(value: object) -> str:
    """The one spelling of a JSON value: sorted keys, no spaces. ValueError or TypeError if it is none."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def content_hash(value: object) -> str:
    """SHA-256 (hex) of the canonical spelling."""
    return hashlib.sha256(canonical(value).encode("utf-8", "surrogatepass")).hexdigest()


def bytes_hash(data: bytes) -> str:
    """SHA-256 (hex) of bytes."""
    return hashlib.sha256(data).hexdigest()


def check_json(
    value: object,
    *,
    max_depth: int = 64,
    max_nodes: int = 10_000,
    max_text: int | None = None,
    max_key: int | None = None,
) -> int:
    """Refuse what could hurt later: too deep, too many nodes, NaN, huge integers, lone surrogates, NUL.

    `max_text`: how many characters a text may have, and `max_key` an object's key; None: any number. The answer is
    how many keys the value's objects have.

    Raises PayloadTooLarge for size, InvalidInput for content. Level by level: depth cannot exhaust the stack.
    """
    nodes = depth = keys = 0
    level: list[object] = [value]
    while level:
        depth += 1
        nodes += len(level)
        if depth > max_depth:
            raise PayloadTooLarge(f"the JSON is nested deeper than {max_depth} levels; flatten it")
        if nodes > max_nodes:
            raise PayloadTooLarge(f"the JSON has more than {max_nodes} values; send less, or files instead")
        below: list[object] = []
        for node in level:
            if isinstance(node, str):
                _check_text(node, max_text, "text")
            elif isinstance(node, dict):
                mapping = cast("dict[object, object]", node)
                keys += len(mapping)
                for key in mapping:
                    _check_key(key, max_key)
                below.extend(mapping.values())
            elif isinstance(node, list | tuple):
                below.extend(cast("Sequence[object]", node))
            else:
                _check_scalar(node)
        level = below
    return keys


def _check_scalar(node: object) -> None:
    if node is None or isinstance(node, bool):
        return
    if isinstance(node, int):
        if abs(node) > MAX_SAFE_INTEGER:
            raise InvalidInput("an integer is beyond ±2^53; send it as a string")
    elif not isinstance(node, float):
        raise InvalidInput(f"{type(node).__name__} is not a JSON value")
    elif not math.isfinite(node):
        raise InvalidInput("NaN and Infinity are not JSON")


def _check_key(key: object, most: int | None) -> None:
    if not isinstance(key, str):
        raise InvalidInput("a JSON object's keys are strings")
    _check_text(key, most, "key")


def _check_text(text: str, most: int | None, what: str) -> None:
    if most is not None and len(text) > most:
        raise PayloadTooLarge(
            f"a {what} in the JSON has more than {most} characters; shorten it, or send a file"
        )
    if "\x00" in text:
        raise InvalidInput("a string holds the character NUL, which databases refuse; remove it")
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput("a string holds a lone surrogate, which is no text; repair its encoding") from None


def plain_text(text: str) -> str:
    """The text without what databases and JSON readers refuse: NUL and lone surrogates become `?`."""
    if text.isascii():
        return text.replace("\x00", "?")
    return text.replace("\x00", "?").encode("utf-8", "replace").decode("utf-8")
