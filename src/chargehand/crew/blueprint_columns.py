"""How a field is written in a model, in a migration and in a schema: the one place that maps types to code.

Rule: the three forms of a field come from here together, so that they cannot drift apart.
"""

from dataclasses import dataclass
from decimal import Decimal

from chargehand.crew import blueprint_names as names
from chargehand.crew.blueprint_samples import Refused, pattern_of_decimal, refused, sample
from chargehand.crew.specification_model import Field, FieldType, Value
from chargehand.crew.specification_values import MAX_INTEGER, clock_offset

_MODEL_TYPES = {
    FieldType.TEXT: "sa.Text()",
    FieldType.INTEGER: "sa.BigInteger()",
    FieldType.NUMBER: "sa.Double()",
    FieldType.BOOLEAN: "sa.Boolean()",
    FieldType.DATE: "sa.Date()",
    FieldType.DATETIME: "UtcDateTime()",
    FieldType.UUID: "sa.Uuid()",
    FieldType.EMAIL: "sa.String(254)",
    FieldType.URL: "sa.String(2000)",
    FieldType.PASSWORD: "sa.String(200)",
}
_PYTHON_TYPES = {
    FieldType.INTEGER: "int",
    FieldType.NUMBER: "float",
    FieldType.DECIMAL: "decimal.Decimal",
    FieldType.BOOLEAN: "bool",
    FieldType.DATE: "dt.date",
    FieldType.DATETIME: "dt.datetime",
    FieldType.UUID: "uuid.UUID",
}
_PLAIN_VALUES = {
    FieldType.BOOLEAN: "Annotated[bool, Field(strict=True)]",
    FieldType.DATE: "types.Date",
    FieldType.DATETIME: "types.Timestamp",
    FieldType.UUID: "types.Id",
    FieldType.EMAIL: "types.Email",
    FieldType.URL: "types.Url",
}
_ORDERED = frozenset(
    {FieldType.INTEGER, FieldType.NUMBER, FieldType.DECIMAL, FieldType.DATE, FieldType.DATETIME}
)


def literal(value: object) -> str:
    """Python source of a value of the specification: safe for whatever text it is."""
    return repr(value)


def pascal(word: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in word.split("_"))


@dataclass(frozen=True, slots=True)
class FieldView:
    """One field of one resource, as the templates see it."""

    field: Field
    resource_class: str

    @property
    def name(self) -> str:
        return self.field.name

    @property
    def attribute(self) -> str:
        return names.attribute(self.name)

    @property
    def is_renamed(self) -> bool:
        return self.attribute != self.name

    @property
    def column(self) -> str:
        """The column's name; a password's column says what it holds."""
        return f"{self.name}_hash" if self.is_password else self.name

    @property
    def model_attribute(self) -> str:
        return f"{self.name}_hash" if self.is_password else self.attribute

    @property
    def is_password(self) -> bool:
        return self.field.type is FieldType.PASSWORD

    @property
    def is_ordered(self) -> bool:
        return self.field.type in _ORDERED

    @property
    def is_text(self) -> bool:
        return self.python_type == "str"

    @property
    def enum_class(self) -> str | None:
        return f"{self.resource_class}{pascal(self.name)}" if self.field.type is FieldType.ENUM else None

    @property
    def python_type(self) -> str:
        return f"enums.{self.enum_class}" if self.enum_class else _PYTHON_TYPES.get(self.field.type, "str")

    @property
    def model_type(self) -> str:
        field = self.field
        match field.type:
            case FieldType.STRING:
                return f"sa.String({field.max_length})"
            case FieldType.DECIMAL:
                return f"ScaledDecimal({field.scale})"
            case FieldType.ENUM:
                return f"enum_column(enums.{self.enum_class}, {enum_width(field.values)})"
            case _:
                return _MODEL_TYPES[field.type]

    @property
    def migration_type(self) -> str:
        match self.field.type:
            case FieldType.DECIMAL:
                return "sa.BigInteger()"
            case FieldType.DATETIME:
                return "sa.DateTime()"
            case FieldType.ENUM:
                return f"sa.String({enum_width(self.field.values)})"
            case _:
                return self.model_type

    @property
    def model_line(self) -> str:
        annotation = self.python_type + (" | None" if self.field.nullable else "")
        arguments = [literal(self.column)] if self.model_attribute != self.column else []
        arguments.append(self.model_type)
        if (default := self.model_default) is not None:
            arguments.append(f"default={default}")
        return f"{self.model_attribute}: orm.Mapped[{annotation}] = orm.mapped_column({', '.join(arguments)})"

    @property
    def model_default(self) -> str | None:
        """Python source of the default; a callable where it depends on the moment."""
        return self.default_source(self.field.default, is_callable=True)

    def default_source(self, value: Value, *, is_callable: bool = False) -> str | None:
        """Python source of a value of the field as the model holds it."""
        if value is None:
            return None
        clock = clock_offset(value)
        if clock is not None and self.field.type in {FieldType.DATE, FieldType.DATETIME}:
            word, count, unit = clock
            if not count:
                return word if is_callable else f"{word}()"
            return ("lambda: " if is_callable else "") + f"{word}() + dt.timedelta({unit}={count})"
        match self.field.type:
            case FieldType.ENUM:
                return f"enums.{self.enum_class}.{names.members(self.field.values)[str(value)]}"
            case FieldType.DECIMAL:
                return f"decimal.Decimal({literal(str(value))})"
            case FieldType.DATE:
                return f"dt.date.fromisoformat({literal(value)})"
            case FieldType.DATETIME:
                return f"dt.datetime.fromisoformat({literal(value)})"
            case FieldType.UUID:
                return f"uuid.UUID({literal(value)})"
            case _:
                return literal(value)

    @property
    def checks(self) -> list[tuple[str, str]]:
        """CHECK constraints: the last part of the name, and the condition."""
        field, column = self.field, f'"{self.column}"'
        found: list[tuple[str, str]] = []
        if field.type is FieldType.ENUM:
            found.append(
                (f"{self.name}_known", f"{column} IN ({', '.join(sql_text(each) for each in field.values)})")
            )
        if field.type in {FieldType.STRING, FieldType.TEXT}:
            if field.min_length:
                found.append((f"{self.name}_min_length", f"length({column}) >= {field.min_length}"))
            found.append((f"{self.name}_max_length", f"length({column}) <= {field.max_length}"))
        if field.type is FieldType.BOOLEAN:
            found.append((f"{self.name}_boolean", f"{column} IN (0, 1)"))
        if field.minimum is not None:
            found.append((f"{self.name}_minimum", f"{column} >= {self._stored_bound(field.minimum)}"))
        if field.maximum is not None:
            found.append((f"{self.name}_maximum", f"{column} <= {self._stored_bound(field.maximum)}"))
        return found

    def _stored_bound(self, bound: float | str) -> str:
        if self.field.type is FieldType.DECIMAL:
            return str(int(Decimal(str(bound)).scaleb(self.field.scale or 0)))
        return repr(bound)

    @property
    def value_alias(self) -> str:
        return f"{pascal(self.name)}Value"

    @property
    def value_type(self) -> str:
        """What callers may send, as an annotation with every constraint."""
        field = self.field
        match field.type:
            case FieldType.STRING | FieldType.TEXT:
                return self._text_type()
            case FieldType.PASSWORD:
                return f"Annotated[types.Password, Field(min_length={field.min_length})]"
            case FieldType.INTEGER:
                low = field.minimum if field.minimum is not None else -MAX_INTEGER
                high = field.maximum if field.maximum is not None else MAX_INTEGER
                return f"Annotated[int, Field(ge={low}, le={high}), types.WHOLE]"
            case FieldType.NUMBER:
                bounds = {"ge": field.minimum, "le": field.maximum}
                extra = "".join(f", {key}={value!r}" for key, value in bounds.items() if value is not None)
                return f"Annotated[float, Field(strict=True, allow_inf_nan=False{extra})]"
            case FieldType.DECIMAL:
                pattern = pattern_of_decimal(field)
                return (
                    f"Annotated[decimal.Decimal, types.DecimalText(pattern={pattern!r}, scale={field.scale})]"
                )
            case FieldType.ENUM:
                return f"enums.{self.enum_class}"
            case _:
                return _PLAIN_VALUES[field.type]

    def _text_type(self) -> str:
        field = self.field
        arguments = ["strict=True"]
        if field.min_length:
            arguments.append(f"min_length={field.min_length}")
        arguments.append(f"max_length={field.max_length}")
        arguments.append(f"pattern={literal(field.pattern)}" if field.pattern else "pattern=types.NO_NUL")
        extra = ", types.WithoutNul()" if field.pattern else ""
        return f"Annotated[str, Field({', '.join(arguments)}){extra}]"

    @property
    def query_type(self) -> str:
        """The same as a query parameter, which always comes as text."""
        match self.field.type:
            case FieldType.INTEGER:
                return "types.QueryInteger"
            case FieldType.NUMBER:
                return "types.QueryNumber"
            case FieldType.BOOLEAN:
                return "types.QueryBoolean"
            case _:
                return self.value_alias

    @property
    def read_type(self) -> str:
        match self.field.type:
            case FieldType.DECIMAL:
                plain = self.value_alias
            case FieldType.DATETIME:
                plain = "types.Timestamp"
            case _:
                plain = self.python_type
        return f"{plain} | None" if self.field.nullable else plain

    @property
    def create_line(self) -> str:
        kind = self.value_alias + (" | None" if self.field.nullable else "")
        arguments: list[str] = []
        if not self.field.required:
            default = self.model_default
            if clock_offset(self.field.default) and self.field.type in {FieldType.DATE, FieldType.DATETIME}:
                arguments.append(f"default_factory={default}")
            else:
                arguments.append(f"default={default}")
        if self.is_renamed:
            arguments.append(f"alias={literal(self.name)}")
        return f"{self.attribute}: {kind}" + self._field_call(arguments)

    @property
    def update_line(self) -> str:
        kind = self.value_alias + (" | None" if self.field.nullable else "")
        arguments = ["default_factory=types.left_out"] + (
            [f"alias={literal(self.name)}"] if self.is_renamed else []
        )
        return f"{self.attribute}: {kind}" + self._field_call(arguments)

    @property
    def read_line(self) -> str:
        arguments = [f"serialization_alias={literal(self.name)}"] if self.is_renamed else []
        return f"{self.attribute}: {self.read_type}" + self._field_call(arguments)

    def _field_call(self, arguments: list[str]) -> str:
        if self.field.description:
            arguments = [*arguments, f"description={literal(self.field.description)}"]
        if len(arguments) == 1 and arguments[0].startswith("default="):
            return f" = {arguments[0].removeprefix('default=')}"
        return f" = Field({', '.join(arguments)})" if arguments else ""

    def sample(self, number: int = 0) -> Value:
        return sample(self.field, number)

    def shown(self, number: int = 0) -> Value:
        """The sample as a response shows it: decimals always with all their digits."""
        value = self.sample(number)
        return (
            f"{Decimal(str(value)):.{self.field.scale}f}" if self.field.type is FieldType.DECIMAL else value
        )

    @property
    def shown_default(self) -> Value:
        """What a response shows of a field that only the service sets, on a new row."""
        default = self.field.default
        if default is None:
            return None
        return self.shown() if clock_offset(default) else default

    @property
    def refused(self) -> list[Refused]:
        return refused(self.field)

    # The tests' data

    @property
    def varied(self) -> str:
        """Python source of a value that differs with `number`."""
        field = self.field
        longest = field.max_length or 0
        match field.type:
            case FieldType.STRING | FieldType.TEXT if not field.pattern and longest >= len(field.name) + 8:
                words = field.name.replace("_", " ").capitalize()
                padding = (
                    f".ljust({field.min_length}, 'x')" if (field.min_length or 0) > len(words) + 2 else ""
                )
                return f'f"{words} {{number}}"{padding}'
            case FieldType.EMAIL:
                return 'f"person{number}@example.org"'
            case FieldType.URL:
                return 'f"https://example.org/{number}"'
            case _:
                return f"{self.some_samples!r}[number % {len(self.some_samples)}]"

    @property
    def some_samples(self) -> list[Value]:
        """Up to twelve different values."""
        return list(dict.fromkeys(self.sample(number) for number in range(1, 13)))

    @property
    def two_samples(self) -> list[Value]:
        """Two different values, the lower one first; a single one when there is no second."""
        found = self.some_samples[:2]
        return sorted(found, key=self._sorting) if self.is_ordered else found

    def _sorting(self, value: Value) -> Decimal | str:
        return Decimal(str(value)) if self.field.type in _NUMERIC else str(value)

    @property
    def sort_key(self) -> str:
        """Python source of what makes JSON values comparable."""
        if self.field.type is FieldType.DECIMAL:
            return "decimal.Decimal"
        return "float" if self.field.type in _NUMERIC else "str"

    def stored(self, value: Value) -> str:
        """Python source of a JSON value as the model holds it."""
        return self.default_source(value) or "None"

    def is_clock(self, value: Value) -> bool:
        return clock_offset(value) is not None and self.field.type in {FieldType.DATE, FieldType.DATETIME}

    def from_wire(self, source: str) -> str:
        """Python source that turns a JSON value into what the model holds."""
        match self.field.type:
            case FieldType.ENUM:
                return f"enums.{self.enum_class}({source})"
            case FieldType.DECIMAL:
                return f"decimal.Decimal({source})"
            case FieldType.DATE:
                return f"dt.date.fromisoformat({source})"
            case FieldType.DATETIME:
                return f"dt.datetime.fromisoformat({source})"
            case FieldType.UUID:
                return f"uuid.UUID({source})"
            case _:
                return source


_NUMERIC = frozenset({FieldType.INTEGER, FieldType.NUMBER, FieldType.DECIMAL})


def enum_width(values: tuple[str, ...]) -> int:
    return max([20, *(len(each) for each in values)])


def sql_text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def as_query(value: Value) -> str:
    """Python source of a value as a query parameter."""
    return repr(str(value).lower()) if isinstance(value, bool) else repr(value)
