"""Values of a generated service's fields, counted by number: the code from which its own programs make rows.

Rule: a value is valid for every number, and two numbers give two values as far as the field has so many.
"""

from decimal import Decimal

from chargehand.crew.blueprint_columns import FieldView
from chargehand.crew.blueprint_patterns import alphabets_matching
from chargehand.crew.specification_model import FieldType

_LETTERS_AND_DIGITS = "abcdefghijklmnopqrstuvwxyz0123456789"
_MOST_DIFFERENT = 1_000_000


def counted(view: FieldView) -> str:
    """Python source of the field's value for `number`, as JSON carries it."""
    field = view.field
    match field.type:
        case FieldType.STRING | FieldType.TEXT:
            return _text(view)
        case FieldType.INTEGER | FieldType.NUMBER | FieldType.DECIMAL:
            return _number(view)
        case FieldType.BOOLEAN:
            return "number % 2 == 0"
        case FieldType.ENUM:
            return f"{list(field.values)!r}[number % {len(field.values)}]"
        case FieldType.DATE:
            return "day(number)"
        case FieldType.DATETIME:
            return "moment(number)"
        case FieldType.UUID:
            return "str(uuid.UUID(int=number + 1))"
        case FieldType.EMAIL:
            return 'f"person{number}@example.org"'
        case FieldType.URL:
            return 'f"https://example.org/{number}"'
        case FieldType.PASSWORD:
            return repr("correct horse battery staple".ljust(field.min_length or 0, "x"))


def _text(view: FieldView) -> str:
    field = view.field
    least, most = field.min_length or 0, field.max_length or 255
    if field.pattern:
        alphabets = alphabets_matching(field.pattern, min_length=least, max_length=most)
        return f"spelled(number, {alphabets!r})" if alphabets else _listed(view)
    words = field.name.replace("_", " ").capitalize()
    if most >= len(words) + 8:
        # Behind nine digits there is no further need to differ.
        padding = f".ljust({least}, 'x')" if least > len(words) + 2 else ""
        return f'f"{words} {{number}}"{padding}'
    return f"spelled(number, [{_LETTERS_AND_DIGITS!r}] * {max(min(most, 6), least)})"


def _listed(view: FieldView) -> str:
    return f"{view.some_samples!r}[number % {len(view.some_samples)}]"


def _number(view: FieldView) -> str:
    field = view.field
    scale = (
        (field.scale or 0) if field.type is FieldType.DECIMAL else 2 if field.type is FieldType.NUMBER else 0
    )
    low, high = _bounds(view, scale)
    count = min(high - low + 1, _MOST_DIFFERENT)
    if count < 1:
        return _listed(view)
    value = f"{low} + number % {count}" if low else f"number % {count}"
    match field.type:
        case FieldType.INTEGER:
            return value
        case FieldType.NUMBER:
            return f"({value}) / {10**scale}"
        case _:
            return f'f"{{decimal.Decimal({value}).scaleb({-scale}):.{scale}f}}"'


def _bounds(view: FieldView, scale: int) -> tuple[int, int]:
    """The least and the greatest value, in units of the last digit."""
    field = view.field
    unit = Decimal(10) ** scale
    low = Decimal(str(field.minimum)) * unit if field.minimum is not None else None
    high = Decimal(str(field.maximum)) * unit if field.maximum is not None else None
    if field.type is FieldType.DECIMAL:
        widest = Decimal(10) ** (field.precision or 1) - 1
        high = widest if high is None else min(high, widest)
    if high is None:
        high = (low or Decimal(0)) + _MOST_DIFFERENT
    if low is None:
        low = min(Decimal(0), high)
    return int(low.to_integral_value("ROUND_CEILING")), int(high.to_integral_value("ROUND_FLOOR"))
