"""Whether a literal of the specification is a value of a field, and how it is kept.

Rule: patterns are matched by the engine that the generated service uses (linear in time), so that a hostile
pattern cannot hang the reader and what passes here passes there.
"""

import re
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Annotated
from uuid import UUID

from pydantic import StringConstraints, TypeAdapter, ValidationError
from pydantic_core import SchemaError

from chargehand.crew.specification_model import Field, FieldType, Value
from chargehand.crew.specification_section import did_you_mean
from chargehand.crew.specification_tree import Scalar

MAX_INTEGER = 2**53 - 1
"""Integers stay inside what JSON readers keep exact, which lies inside what the database stores."""

_CLOCK = re.compile(r"(now|today)(?: *\+ *(\d{1,5}) +(minutes?|hours?|days?))?")
_EMAIL = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_URL = re.compile(r"https?://[A-Za-z0-9.-]+(:\d{1,5})?(/[!-~]*)?")
_UNPORTABLE = re.compile(r"\(\?(?!:)|\\[1-9AZzbBGpPkKQE]|[*+?}]\+")
_PORTABLE = "no look-around, back references, flags, possessive quantifiers, \\\\A \\\\Z \\\\b \\\\p"


def clock_offset(default: Value) -> tuple[str, int, str] | None:
    """`today + 28 days` as ("today", 28, "days"); None when the value is no such default."""
    match = _CLOCK.fullmatch(default) if isinstance(default, str) else None
    if match is None:
        return None
    unit = (match[3] or "days").rstrip("s") + "s"
    return match[1], int(match[2] or 0), unit


def pattern_fault(pattern: str) -> tuple[str, str] | None:
    """Why a pattern cannot be used, and a hint; None when all readers of OpenAPI understand it."""
    try:
        re.compile(pattern)
        matches(pattern, "")
    except (re.error, RecursionError, OverflowError) as error:
        return f"no regular expression: {error}", "in double quotes a backslash is written twice"
    except SchemaError:
        return "no regular expression that matches in linear time", _PORTABLE
    return (
        ("uses what not every reader of the OpenAPI document has", _PORTABLE)
        if _UNPORTABLE.search(pattern)
        else None
    )


def matches(pattern: str, text: str) -> bool:
    """Whether the whole text matches; linear in time for any pattern."""
    checked = TypeAdapter(Annotated[str, StringConstraints(pattern=pattern)])
    try:
        checked.validate_python(text)
    except ValidationError:
        return False
    return True


def stored_value(field: Field, node: Scalar) -> Value:
    """The value as the model keeps it: numbers and booleans as such, everything else as text."""
    if field.type is FieldType.NUMBER and isinstance(node.value, int | float):
        return float(node.value)
    return node.value if field.type in {FieldType.INTEGER, FieldType.BOOLEAN} else node.text


def value_fault(field: Field, node: Scalar) -> tuple[str, str] | None:
    """What is wrong with a value for this field, and a hint; None when it fits."""
    shown = repr(node.text if len(node.text) <= 60 else node.text[:57] + "…")
    match field.type:
        case FieldType.STRING | FieldType.TEXT | FieldType.PASSWORD:
            return _text_fault(field, node.text, shown)
        case FieldType.INTEGER | FieldType.NUMBER | FieldType.DECIMAL:
            return _number_fault(field, node, shown)
        case FieldType.BOOLEAN:
            return None if isinstance(node.value, bool) else (f"{shown} is no boolean", "write true or false")
        case FieldType.ENUM:
            known = node.text in field.values
            return (
                None if known else (f"{shown} is not among the values", did_you_mean(node.text, field.values))
            )
        case FieldType.EMAIL:
            return (
                None if _EMAIL.fullmatch(node.text) else (f"{shown} is no email address", "ada@example.org")
            )
        case FieldType.URL:
            return (
                None
                if _URL.fullmatch(node.text)
                else (f"{shown} is no http(s) URL", "https://example.org/page")
            )
        case FieldType.DATE | FieldType.DATETIME | FieldType.UUID:
            return _parsed_fault(field, node.text, shown)


def _text_fault(field: Field, text: str, shown: str) -> tuple[str, str] | None:
    if field.min_length is not None and len(text) < field.min_length:
        return f"{shown} is shorter than min_length {field.min_length}", "give a longer one"
    if field.max_length is not None and len(text) > field.max_length:
        return f"{shown} is longer than max_length {field.max_length}", "give a shorter one"
    if field.pattern and not matches(field.pattern, text):
        return f"{shown} does not match the pattern {field.pattern}", "give one that does"
    return None


def _number_fault(field: Field, node: Scalar, shown: str) -> tuple[str, str] | None:
    if isinstance(node.value, bool):
        return f"{shown} is no number", "write digits"
    try:
        number = Decimal(node.text if isinstance(node.value, str) else str(node.value))
    except (InvalidOperation, ValueError):
        return f"{shown} is no number", "write digits"
    if field.type is not FieldType.DECIMAL and not isinstance(node.value, int | float):
        return f"{shown} is no number", "write it without quotes"
    if field.type is FieldType.INTEGER and not isinstance(node.value, int):
        return f"{shown} is no whole number", "drop the fraction, or use type decimal"
    if not number.is_finite() or abs(number) > MAX_INTEGER:
        return f"{shown} is out of range", f"stay within ±{MAX_INTEGER}"
    if field.type is FieldType.DECIMAL and (fault := _decimal_fault(field, number, shown)):
        return fault
    if field.minimum is not None and number < Decimal(str(field.minimum)):
        return f"{shown} is less than minimum {field.minimum}", "give a greater one"
    if field.maximum is not None and number > Decimal(str(field.maximum)):
        return f"{shown} is more than maximum {field.maximum}", "give a smaller one"
    return None


def _decimal_fault(field: Field, number: Decimal, shown: str) -> tuple[str, str] | None:
    precision, scale = field.precision or 0, field.scale or 0
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and -exponent > scale:
        return f"{shown} has more than {scale} digits after the point", "raise scale, or round it"
    if abs(number) >= Decimal(10) ** (precision - scale):
        return f"{shown} has more than {precision - scale} digits before the point", "raise precision"
    return None


def _parsed_fault(field: Field, text: str, shown: str) -> tuple[str, str] | None:
    try:
        if field.type is FieldType.UUID:
            UUID(text)
        elif field.type is FieldType.DATE:
            date.fromisoformat(text)
        elif datetime.fromisoformat(text).tzinfo is None:
            return f"{shown} has no time zone", "2026-01-31T12:00:00Z"
    except ValueError:
        examples = {FieldType.UUID: "a UUID in hyphenated form", FieldType.DATE: "2026-01-31"}
        return f"{shown} is no {field.type}", examples.get(field.type, "2026-01-31T12:00:00Z")
    return None
