"""Values out of an event's data; of a newer service's other shape, a wrong type reads as absent."""

from typing import Any, cast


def text(data: dict[str, Any], key: str) -> str:
    """A text, or an empty one."""
    value = data.get(key)
    return value if isinstance(value, str) else ""


def number(data: dict[str, Any], key: str, default: float = 0) -> float:
    """A number, or the default."""
    value = data.get(key)
    return value if isinstance(value, int | float) else default


def mapping(data: dict[str, Any], key: str) -> dict[str, Any]:
    """An object, or an empty one."""
    value = data.get(key)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def mappings(data: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """The objects of a list."""
    value = data.get(key)
    items = cast("list[Any]", value) if isinstance(value, list) else []
    return [cast("dict[str, Any]", one) for one in items if isinstance(one, dict)]
