"""The bodies about secrets. Values only ever go in."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from chargehand.domain.secret import LONGEST, NAME_PATTERN, SHORTEST
from chargehand.wire.bases import Answer, Sent
from chargehand.wire.rest import NO_NUL

SECRET_NAME_PATTERN = NAME_PATTERN


class SecretValue(Sent):
    """A secret's value, which nothing tells again."""

    value: Annotated[str, Field(min_length=SHORTEST, max_length=LONGEST, pattern=NO_NUL)] = Field(
        repr=False,
        examples=["a long random text"],
        json_schema_extra={"format": "password", "writeOnly": True},
    )


class SecretBody(Answer):
    """What is told of a secret."""

    name: str
    version: int
    """How many values it has had."""
    created_at: datetime
    created_by: str
    """The id of the key that it was first stored with."""
    updated_at: datetime
    updated_by: str


class SecretList(Answer):
    """All of them, by name."""

    items: list[SecretBody]


class RewrapAnswer(Answer):
    """What is now encrypted with the first master key that was not before."""

    data_keys: int
    master_key_id: str
    """The key that encrypts now; the others may go."""
