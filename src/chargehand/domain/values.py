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
) -> None:
    """Refuse what could hurt later: too deep, too many nodes, NaN, huge integers, lone surrogates, NUL.

    `max_text`: how many characters a text may have, and `max_key` an object's key; None: any number.

    Raises PayloadTooLarge for size, InvalidInput for content. Iterative: depth cannot exhaust the stack.
    """
    nodes = 0
    stack: list[tuple[object, int]] = [(value, 1)]
    while stack:
        node, depth = stack.pop()
        nodes += 1
        if depth > max_depth:
            raise PayloadTooLarge(f"the JSON is nested deeper than {max_depth} levels; flatten it")
        if nodes > max_nodes:
            raise PayloadTooLarge(f"the JSON has more than {max_nodes} values; send less, or files instead")
        if max_text is not None:
            _check_length(node, max_text, max_key or max_text)
        stack.extend(_children(node, depth))


def _check_length(node: object, max_text: int, max_key: int) -> None:
    if isinstance(node, str) and len(node) > max_text:
        raise PayloadTooLarge(
            f"a text in the JSON has more than {max_text} characters; send less, or files instead"
        )
    if isinstance(node, dict):
        keys = cast("dict[object, object]", node)
        if any(isinstance(key, str) and len(key) > max_key for key in keys):
            raise PayloadTooLarge(f"a key in the JSON has more than {max_key} characters; shorten it")


def _children(node: object, depth: int) -> list[tuple[object, int]]:
    if isinstance(node, str):
        _check_text(node)
    elif isinstance(node, bool) or node is None:
        pass
    elif isinstance(node, int):
        if abs(node) > MAX_SAFE_INTEGER:
            raise InvalidInput(f"the integer {str(node)[:24]}… is beyond ±2^53; send it as a string")
    elif isinstance(node, float):
        if not math.isfinite(node):
            raise InvalidInput("NaN and Infinity are not JSON")
    elif isinstance(node, dict):
        mapping = cast("dict[object, object]", node)
        for key in mapping:
            if not isinstance(key, str):
                raise InvalidInput("a JSON object's keys are strings")
            _check_text(key)
        return [(child, depth + 1) for child in mapping.values()]
    elif isinstance(node, list | tuple):
        return [(child, depth + 1) for child in cast("Sequence[object]", node)]
    else:
        raise InvalidInput(f"{type(node).__name__} is not a JSON value")
    return []


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise InvalidInput("a string holds the character NUL, which databases refuse; remove it")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidInput("a string holds a lone surrogate, which is no text; repair its encoding") from None


def plain_text(text: str) -> str:
    """The text without what databases and JSON readers refuse: NUL and lone surrogates become `?`."""
    if text.isascii():
        return text.replace("\x00", "?")
    return text.replace("\x00", "?").encode("utf-8", "replace").decode("utf-8")
