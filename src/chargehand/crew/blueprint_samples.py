"""Values that a field takes and values that it refuses: examples of the documents, data of the tests.

Rule: the n-th sample of a field differs from the others wherever its type has that many values.
"""

from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

from chargehand.crew.blueprint_patterns import decimal_pattern, text_matching
from chargehand.crew.specification_model import Field, FieldType, Value
from chargehand.crew.specification_values import MAX_INTEGER, matches

_EPOCH = datetime(2026, 1, 15, 12, 0, tzinfo=timezone.utc)  # noqa: UP017  datetime.UTC reads worse in one line


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A value that must be answered with 422; `source` is Python source, since some values are long."""

    label: str
    source: str


def sample(field: Field, number: int = 0) -> Value:
    """A value of the field as JSON carries it; the first one is the specification's example, when there is one."""
    if number == 0 and field.example is not None:
        return _canonical(field, field.example)
    return _number(field, number) if field.type in _NUMBERS else _text(field, number)


def _canonical(field: Field, value: Value) -> Value:
    """The value as a response shows it: moments in UTC, decimals with all their digits."""
    match field.type:
        case FieldType.DATETIME:
            moment = datetime.fromisoformat(str(value)).astimezone(timezone.utc)  # noqa: UP017  as above
            return moment.isoformat().replace("+00:00", "Z")
        case FieldType.DECIMAL:
            return f"{Decimal(str(value)):.{field.scale}f}"
        case FieldType.UUID:
            return str(UUID(str(value)))
        case _:
            return value


_NUMBERS = frozenset({FieldType.INTEGER, FieldType.NUMBER, FieldType.DECIMAL, FieldType.BOOLEAN})


def _number(field: Field, number: int) -> Value:
    if field.type is FieldType.BOOLEAN:
        return number % 2 == 0
    step = Decimal(1).scaleb(-(field.scale or 0)) if field.type is FieldType.DECIMAL else Decimal(1)
    low = Decimal(str(field.minimum)) if field.minimum is not None else None
    high = Decimal(str(field.maximum)) if field.maximum is not None else None
    if field.type is FieldType.DECIMAL:
        widest = Decimal(10) ** ((field.precision or 1) - (field.scale or 0)) - step
        high = widest if high is None else min(high, widest)
    if low is None:
        low = Decimal(0) if high is None or high >= 0 else high - 100 * step
    if field.type is FieldType.NUMBER and high is not None:
        step = min(step, (high - low) / 16)
    count = int((high - low) / step) + 1 if high is not None and step else 1000
    value = low + step * (number % max(count, 1))
    if field.type is FieldType.DECIMAL:
        return f"{value:.{field.scale}f}"
    return float(value) if field.type is FieldType.NUMBER else int(value)


def _text(field: Field, number: int) -> Value:
    match field.type:
        case FieldType.ENUM:
            return field.values[number % len(field.values)]
        case FieldType.DATE:
            return (date(2026, 1, 15) + timedelta(days=number)).isoformat()
        case FieldType.DATETIME:
            return (_EPOCH + timedelta(hours=number)).strftime("%Y-%m-%dT%H:%M:%SZ")
        case FieldType.UUID:
            return str(UUID(int=0x018F0000000070008000000000000000 + number))
        case FieldType.EMAIL:
            return f"person{number}@example.org"
        case FieldType.URL:
            return f"https://example.org/{number}"
        case FieldType.PASSWORD:
            return f"correct horse battery {number}".ljust(field.min_length or 0, "x")
        case _:
            return _words(field, number)


def _words(field: Field, number: int) -> str:
    least, most = field.min_length or 0, field.max_length or 255
    if field.pattern:
        found = text_matching(field.pattern, number, min_length=least, max_length=most)
        return found if found is not None else str(field.example)
    text = f"{field.name.replace('_', ' ').capitalize()} {number}"
    if len(text) > most:
        text = str(number).rjust(most, "a")[-most:]
    return text.ljust(least, "x")


def refused(field: Field) -> list[Refused]:
    """Values that the field does not take, each with a word for the test's name."""
    found = _refused_by_type(field)
    if not field.nullable:
        found.append(Refused(label="null", source="None"))
    return found


def _refused_by_type(field: Field) -> list[Refused]:
    match field.type:
        case FieldType.STRING | FieldType.TEXT | FieldType.PASSWORD:
            return _refused_texts(field)
        case FieldType.INTEGER | FieldType.NUMBER | FieldType.DECIMAL:
            return _refused_numbers(field)
        case FieldType.BOOLEAN:
            return [_refused("word", "yes"), _refused("number", 1)]
        case FieldType.ENUM:
            return [_refused("unknown", "no-such-value"), _refused("number", 1)]
        case FieldType.DATE:
            return [
                _refused("no such day", "2026-02-30"),
                _refused("word", "yesterday"),
                _refused("number", 0),
            ]
        case FieldType.DATETIME:
            naive = _refused("no time zone", "2026-01-15T12:00:00")
            return [naive, _refused("word", "yesterday"), _refused("number", 0)]
        case FieldType.UUID:
            return [_refused("word", "no-uuid"), _refused("number", 1)]
        case FieldType.EMAIL | FieldType.URL:
            return [_refused("word", "nowhere"), _refused("number", 1)]


def _refused_texts(field: Field) -> list[Refused]:
    found = [_refused("number", 1), Refused(label="control character", source='"nul\\x00"')]
    if field.max_length is not None:
        found.append(Refused(label="too long", source=f'"x" * {field.max_length + 1}'))
    if field.min_length:
        found.append(Refused(label="too short", source=f'"x" * {field.min_length - 1}'))
    if field.pattern:
        wrong = next(
            (
                each
                for each in ("", "?", "no match", "0", "a\u00e9\u4e2d", "~" * 50)
                if not matches(field.pattern, each)
            ),
            None,
        )
        found += [_refused("pattern", wrong)] if wrong is not None else []
    return found


def _refused_numbers(field: Field) -> list[Refused]:
    if field.type is FieldType.DECIMAL:
        scale = field.scale or 0
        found = [
            _refused("number", 1),
            _refused("word", "many"),
            _refused("too precise", f"1.{'1' * (scale + 1)}"),
        ]
        found.append(_refused("too large", "1" + "0" * ((field.precision or 0) - scale)))
    else:
        found = [_refused("text", "1"), _refused("word", "many")]
        if field.type is FieldType.INTEGER:
            found += [_refused("fraction", 1.5), Refused(label="beyond 64 bits", source="2**63")]
    if field.minimum is not None:
        found.append(_beyond(field, "below the minimum", Decimal(str(field.minimum)) - 1))
    if field.maximum is not None:
        found.append(_beyond(field, "above the maximum", Decimal(str(field.maximum)) + 1))
    return found


def _beyond(field: Field, label: str, value: Decimal) -> Refused:
    if field.type is FieldType.DECIMAL:
        return _refused(label, str(value))
    return _refused(label, float(value) if field.type is FieldType.NUMBER else int(value))


def _refused(label: str, value: Value) -> Refused:
    return Refused(label=label, source=repr(value))


def pattern_of_decimal(field: Field) -> str:
    """The pattern of a decimal field's text, its bounds included."""
    return decimal_pattern(
        precision=field.precision or 12,
        scale=field.scale or 0,
        minimum=Decimal(str(field.minimum)) if field.minimum is not None else None,
        maximum=Decimal(str(field.maximum)) if field.maximum is not None else None,
    )


def largest_integer() -> int:
    """Integers stay inside what JSON readers keep exact."""
    return MAX_INTEGER
