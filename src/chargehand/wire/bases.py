"""What all bodies of the REST API have in common."""

from typing import Any

from pydantic import BaseModel, ConfigDict

AMOUNT_PATTERN = r"^[0-9]{1,6}(\.[0-9]{1,9})?$"
"""Money in USD, as decimal text."""


def whole(value: object) -> object:
    """In JSON 2.0 is an integer too, and some writers write it so."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def absent(schema: dict[str, Any]) -> None:
    """For fields of a change: what is not sent stays as it is, so there is no default to show."""
    schema.pop("default", None)


class Sent(BaseModel):
    """A body that a client sends: unknown fields are refused, nothing is coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


class Answer(BaseModel):
    """A body that the service answers with; it may gain fields."""

    model_config = ConfigDict(extra="ignore", frozen=True, use_attribute_docstrings=True)
