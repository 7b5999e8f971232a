"""Reads the fields of a resource: their types, constraints, defaults and examples.

Rule: a constraint is refused on a type it does not bind, and a default or example must satisfy every
constraint, so that what is rendered can promise them in the schema, in the database and in the tests alike.
"""

import re
from dataclasses import replace
from decimal import Decimal

from chargehand.crew.blueprint_patterns import text_matching
from chargehand.crew.specification_model import Field, FieldType, Value
from chargehand.crew.specification_section import Section, did_you_mean
from chargehand.crew.specification_tree import Entries, Scalar
from chargehand.crew.specification_values import clock_offset, pattern_fault, stored_value, value_fault

MAX_TEXT_LENGTH = 100_000
DEFAULT_STRING_LENGTH = 255
DEFAULT_TEXT_LENGTH = 10_000

_COMMON = (
    "type",
    "description",
    "required",
    "nullable",
    "unique",
    "default",
    "read_only",
    "write_only",
    "example",
)
_LENGTHS = ("min_length", "max_length")
_BOUNDS = ("minimum", "maximum")
_CONSTRAINTS: dict[FieldType, tuple[str, ...]] = {
    FieldType.STRING: (*_LENGTHS, "pattern"),
    FieldType.TEXT: _LENGTHS,
    FieldType.INTEGER: _BOUNDS,
    FieldType.NUMBER: _BOUNDS,
    FieldType.DECIMAL: (*_BOUNDS, "precision", "scale"),
    FieldType.ENUM: ("values",),
    FieldType.PASSWORD: ("min_length",),
}
_ALL_CONSTRAINTS = (
    "min_length",
    "max_length",
    "pattern",
    "minimum",
    "maximum",
    "precision",
    "scale",
    "values",
)
FIELD_KEYS = (*_COMMON, *_ALL_CONSTRAINTS)
_TYPES = tuple(each.value for each in FieldType)
_OTHER_NAMES = {
    "str": "string", "varchar": "string", "char": "string", "int": "integer", "bigint": "integer",
    "bool": "boolean", "float": "number", "double": "number", "real": "number", "money": "decimal",
    "numeric": "decimal", "timestamp": "datetime", "choice": "enum", "uri": "url", "guid": "uuid",
    "longtext": "text", "secret": "password",
}  # fmt: skip


def read_fields(section: Section) -> tuple[Field, ...]:
    """Every field under `fields`; a field may be given by its type alone (`name: string`)."""
    fields: list[Field] = []
    outer = section.section("fields")
    for name, node in outer.entries.nodes.items():
        if not outer.checked_name(name, "field"):
            continue
        if isinstance(node, Scalar):
            line = outer.line(name)
            node = Entries({"type": node}, {"type": line}, line)
        if not isinstance(node, Entries):
            outer.report(
                name,
                "a field is a type or a mapping",
                f"write `{name}: string` or `{name}: {{type: string}}`",
            )
            continue
        one = Section(node, f"{outer.where}.{name}", section.findings, FIELD_KEYS)
        field = _read_field(name, one)
        if field is not None:
            fields.append(field)
    return tuple(fields)


def _read_field(name: str, section: Section) -> Field | None:
    kind = _read_type(section)
    if kind is None:
        return None
    for constraint in _ALL_CONSTRAINTS:
        if section.has(constraint) and constraint not in _CONSTRAINTS.get(kind, ()):
            bound = [each.value for each in FieldType if constraint in _CONSTRAINTS.get(each, ())]
            section.report(constraint, f"means nothing for type {kind}", f"it is for: {', '.join(bound)}")
    default = section.literal("default")
    has_default = default is not None and default.value is not None
    nullable = section.boolean("nullable", False)
    read_only = section.boolean("read_only", False)
    required = section.boolean("required", not (nullable or has_default or read_only))
    if not required and not has_default:
        nullable = True  # left out of a create, it has to be something
    field = Field(
        name=name,
        type=kind,
        description=section.text("description", max_length=500, multiline=True),
        required=required,
        nullable=nullable,
        unique=section.boolean("unique", False),
        read_only=read_only,
        write_only=section.boolean("write_only", kind is FieldType.PASSWORD),
        values=_read_values(section, kind),
    )
    field = _with_constraints(field, section)
    _check_modes(field, section, has_default=has_default)
    _check_samples(field, section)
    return replace(
        field, default=_read_value(field, section, "default"), example=_read_value(field, section, "example")
    )


def _check_samples(field: Field, section: Section) -> None:
    """A pattern must let values be made for the documents and the tests, or come with an example."""
    if field.pattern is None or (section.has("example") and not field.unique):
        return
    lengths = {"min_length": field.min_length or 0, "max_length": field.max_length or DEFAULT_STRING_LENGTH}
    made = {text_matching(field.pattern, number, **lengths) for number in range(2 if field.unique else 1)}
    if None in made:
        section.report(
            "pattern", "no value could be made that matches it", "add an `example:`, or simplify it"
        )
    elif field.unique and len(made) < 2:
        section.report(
            "pattern", "hardly two values match it, and the field is unique", "widen it, or drop `unique`"
        )


def _read_type(section: Section) -> FieldType | None:
    word = section.text("type")
    if word in _TYPES:
        return FieldType(word)
    if not word:
        section.report("type", "the type is missing", f"one of: {', '.join(_TYPES)}")
    elif word.lower() in _OTHER_NAMES:
        section.report("type", f"{word!r} is no type", f"it is called {_OTHER_NAMES[word.lower()]!r} here")
    else:
        section.report("type", f"{word!r} is no type", did_you_mean(word, _TYPES))
    return None


def _read_values(section: Section, kind: FieldType) -> tuple[str, ...]:
    if kind is not FieldType.ENUM:
        return ()
    for node in section.items("values"):
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            section.report(
                "values",
                f"{node.text} is read as a boolean",
                f'write "{node.text}" in quotes',
                line=node.line,
            )
    values = section.words("values", what="enum value")
    if not values:
        section.report("values", "an enum needs its values", "values: [one, two]")
    if len(values) > 100:
        section.report("values", "more than 100 values", "make it a resource of its own")
    for value in values:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}", value):
            section.report(
                "values", f"{value!r:.60} cannot be an enum value", "use letters, digits, _ . - (at most 40)"
            )
    return values


def _with_constraints(field: Field, section: Section) -> Field:
    kind = field.type
    if kind in {FieldType.STRING, FieldType.TEXT}:
        usual = DEFAULT_STRING_LENGTH if kind is FieldType.STRING else DEFAULT_TEXT_LENGTH
        most = 4000 if kind is FieldType.STRING else MAX_TEXT_LENGTH
        least = section.integer("min_length", None, least=0, most=most)
        longest = section.integer("max_length", max(usual, least or 0), least=1, most=most)
        if least is not None and least > longest:
            section.report("min_length", f"{least} is more than max_length {longest}", "swap them")
        field = replace(field, min_length=least, max_length=longest)
        return replace(field, pattern=_read_pattern(section)) if kind is FieldType.STRING else field
    if kind is FieldType.PASSWORD:
        return replace(field, min_length=section.integer("min_length", 12, least=8, most=128), max_length=128)
    if kind is FieldType.DECIMAL:
        precision = section.integer("precision", 12, least=1, most=15)
        scale = section.integer("scale", min(2, precision), least=0, most=15)
        if scale > precision:
            section.report(
                "scale", f"{scale} is more than precision {precision}", "scale counts inside precision"
            )
            scale = precision
        field = replace(field, precision=precision, scale=scale)
    if kind in {FieldType.INTEGER, FieldType.NUMBER, FieldType.DECIMAL}:
        return _with_bounds(field, section)
    return field


def _with_bounds(field: Field, section: Section) -> Field:
    low, high = _read_bound(field, section, "minimum"), _read_bound(field, section, "maximum")
    if low is not None and high is not None and Decimal(str(low)) > Decimal(str(high)):
        section.report("minimum", f"{low} is more than maximum {high}", "swap them")
    return replace(field, minimum=low, maximum=high)


def _read_bound(field: Field, section: Section, key: str) -> int | float | str | None:
    node = section.literal(key)
    if node is None or node.value is None:
        return None
    fault = value_fault(replace(field, minimum=None, maximum=None), node)
    if fault is not None:
        section.report(key, fault[0], fault[1])
        return None
    value = stored_value(field, node)
    return None if isinstance(value, bool) else value


def _read_pattern(section: Section) -> str | None:
    pattern = section.text("pattern", max_length=300)
    if not pattern:
        return None
    fault = pattern_fault(pattern)
    if fault is not None:
        section.report("pattern", *fault)
        return None
    if not (pattern.startswith("^") and pattern.endswith("$")):
        section.report(
            "pattern", "is not anchored", f'write "^{pattern.strip("^$")}$": it has to match the whole value'
        )
        return None
    return pattern


def _check_modes(field: Field, section: Section, *, has_default: bool) -> None:
    if field.required and has_default:
        section.report("required", "a required field has no use for a default", "drop one of them")
    if field.read_only and field.write_only:
        section.report("read_only", "read_only and write_only exclude each other", "drop one of them")
    if field.read_only and field.required:
        section.report(
            "required", "a read_only field cannot be required of a caller", "give it a default, or nullable"
        )
    if field.unique and field.type in {FieldType.BOOLEAN, FieldType.ENUM, FieldType.PASSWORD, FieldType.TEXT}:
        section.report("unique", f"a {field.type} cannot be unique", "make it a string, or drop `unique`")
    if field.type is FieldType.PASSWORD and has_default:
        section.report("default", "a password has no default", "drop it")
    if field.unique and has_default and not clock_offset(section.text("default")):
        section.report(
            "default", "a unique field with a default can be left out only once", "drop one of them"
        )


def _read_value(field: Field, section: Section, key: str) -> Value:
    node = section.literal(key)
    if node is None or node.value is None:
        return None
    clock = (
        clock_offset(node.text)
        if key == "default" and field.type in {FieldType.DATE, FieldType.DATETIME}
        else None
    )
    if clock is not None:
        wanted = "today" if field.type is FieldType.DATE else "now"
        if clock[0] != wanted or (wanted == "today" and clock[2] != "days"):
            section.report(
                key, f"{node.text!r} is no default for a {field.type}", f"write {wanted!r} (+ 7 days)"
            )
        return node.text
    fault = value_fault(field, node)
    if fault is not None:
        section.report(key, *fault)
        return None
    return stored_value(field, node)
