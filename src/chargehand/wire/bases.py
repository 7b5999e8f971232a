"""What all bodies of the REST API have in common."""

from pydantic import BaseModel, ConfigDict


def whole(value: object) -> object:
    """In JSON 2.0 is an integer too, and some writers write it so."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Sent(BaseModel):
    """A body that a client sends: unknown fields are refused, nothing is coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


class Answer(BaseModel):
    """A body that the service answers with; it may gain fields."""

    model_config = ConfigDict(extra="ignore", frozen=True, use_attribute_docstrings=True)
