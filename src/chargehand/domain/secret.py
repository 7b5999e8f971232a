"""Secrets: what they may be called, and how texts refer to them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from chargehand.errors import InvalidInput

NAME_PATTERN = r"^[A-Za-z][A-Za-z0-9_.:-]{0,127}$"
SHORTEST = 8
"""What is shorter stands in too many texts by chance to be kept out of them."""
LONGEST = 16_000
_NAME = re.compile(NAME_PATTERN)
_REFERENCE = re.compile(r"\$\{secret:([^{}]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """What is told of a secret; its value never is. `version` counts the values that it has had."""

    name: str
    version: int
    created_at: datetime
    created_by: str
    updated_at: datetime
    updated_by: str


def is_name(text: str) -> bool:
    """Whether a secret may be called so."""
    return _NAME.fullmatch(text) is not None


def check_name(name: str) -> None:
    """InvalidInput for what cannot be a secret's name."""
    if not is_name(name):
        raise InvalidInput("a secret's name is 1 to 128 of A-Z a-z 0-9 _ . : - and begins with a letter")


def check_value(value: str) -> bytes:
    """The bytes that are sealed. InvalidInput, which does not show the value."""
    try:
        content = value.encode()
    except UnicodeEncodeError:
        raise InvalidInput("the value holds a lone surrogate, which is no text") from None
    if "\x00" in value:
        raise InvalidInput("the value holds the character NUL, which no header or variable can")
    if len(value) < SHORTEST:
        raise InvalidInput(
            f"a value has at least {SHORTEST} characters: a shorter one cannot be kept out of logs and events"
        )
    if len(value) > LONGEST:
        raise InvalidInput(f"a value has at most {LONGEST:,} characters")
    return content


def references_in(text: str) -> bool:
    """Whether a text refers to any secret, by a good name or a bad one."""
    return "${secret:" in text


def references(text: str) -> list[str]:
    """The names that a text refers to as `${secret:NAME}`. InvalidInput for what cannot be a name."""
    names = _REFERENCE.findall(text)
    for name in names:
        check_name(name)
    if len(names) != text.count("${secret:"):
        raise InvalidInput("a reference to a secret is written ${secret:NAME}")
    return names


def filled_in(text: str, values: Mapping[str, str]) -> str:
    """The text with each reference replaced by the secret's value."""
    return _REFERENCE.sub(lambda found: values[found[1]], text)
