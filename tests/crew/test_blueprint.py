"""Rendering: the same texts each time, code that its own checks accept, and a specification that stays data."""

import ast
import io
import re
import tokenize
from decimal import Decimal
from pathlib import Path

import pytest

from chargehand.crew import blueprint_names as names
from chargehand.crew.blueprint import in_docstring, in_markdown, in_toml, render
from chargehand.crew.blueprint_patterns import decimal_pattern, text_matching
from chargehand.crew.blueprint_pins import pinned
from chargehand.crew.blueprint_samples import refused, sample
from chargehand.crew.specification import ServiceSpecification, parse_specification
from chargehand.crew.specification_model import Field, FieldType
from chargehand.crew.specification_values import matches
from chargehand.errors import InvalidInput

HERE = Path(__file__).parent
SPECIFICATIONS = {
    "bookstore": (HERE.parents[1] / "examples" / "bookstore.yaml").read_text(encoding="utf-8"),
    "tool-shed": (HERE / "specifications" / "tool_shed.yaml").read_text(encoding="utf-8"),
}
PARTS = ("database", "service", "tests")


@pytest.fixture(params=list(SPECIFICATIONS))
def spec(request: pytest.FixtureRequest) -> ServiceSpecification:
    return parse_specification(SPECIFICATIONS[request.param])


@pytest.mark.parametrize("part", PARTS)
def test_the_same_specification_gives_the_same_texts(spec: ServiceSpecification, part: str) -> None:
    assert list(render(spec, part).items()) == list(render(spec, part).items())


def test_an_unknown_part_is_told_with_those_that_there_are(spec: ServiceSpecification) -> None:
    with pytest.raises(InvalidInput, match="database"):
        render(spec, "frontend")


def test_parts_do_not_write_the_same_file(spec: ServiceSpecification) -> None:
    paths = [path for part in PARTS for path in render(spec, part)]

    assert len(paths) == len(set(paths))


def test_no_trace_of_a_template_is_left(spec: ServiceSpecification) -> None:
    for part in PARTS:
        for path, text in render(spec, part).items():
            assert not re.search(r"\[(package|resource)\]", path)
            assert text.endswith("\n")
            assert not text.endswith("\n\n")


HOSTILE = [
    '"',
    "'",
    '"""',
    "'''",
    "\\",
    '\\"""',
    '"""; import os; os.abort(); """',
    "{{ 7 * 7 }}",
    "{% raw %}",
    "{# x #}",
    "{0.__class__}",
    "%(here)s",
    "#{}",
    "\\N{DIGIT ONE} \\x41 \\u0041",
    "line\nbreak",
    "tab\there",
    "\u2028separator\u0085",
    "\U0001f600 \u202e",
    "$(reboot) `reboot` && reboot",
    "]]> <script>alert(1)</script>",
    "= 1\n[tool.evil]\nx = 1",
]


@pytest.mark.parametrize("text", ["".join(HOSTILE[:11]), " ".join(HOSTILE[11:]), *HOSTILE[2:7:2]])
def test_text_of_a_specification_is_only_ever_data(text: str) -> None:
    spec = hostile_specification(text)
    harmless = hostile_specification("harmless")

    for part in PARTS:
        files, expected = render(spec, part), render(harmless, part)
        assert files.keys() == expected.keys()
        for path, source in files.items():
            if path.endswith(".py"):
                assert shape(source) == shape(expected[path]), path


def hostile_specification(text: str) -> ServiceSpecification:
    """A specification that has the text wherever text may stand."""
    quoted = '"' + "".join(f"\\U{ord(each):08x}" for each in text) + '"'
    title = '"' + "".join(f"\\U{ord(each):08x}" for each in " ".join(text.split())) + '"'
    return parse_specification(
        f"""
service: {{name: shop, title: {title}, description: {quoted}}}
resources:
  item:
    description: {quoted}
    fields:
      title: {{type: string, default: {quoted}, example: {quoted}, description: {quoted}}}
      note: {{type: text, nullable: true, example: {quoted}}}
    states:
      initial: open
      values: [open, done]
      transitions: {{end: {{from: open, to: done, set: {{note: {quoted}}}, description: {quoted}}}}}
integrations:
  audit: {{description: {quoted}, events: {{item.end: /ended}}}}
"""
    )


def shape(source: str) -> list[str]:
    """The tree of a program without its texts: what it does, whatever it says."""
    tree = ast.parse(source)
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append("text")
        else:
            found.append(type(node).__name__)
    comments = [
        each
        for each in tokenize.generate_tokens(io.StringIO(source).readline)
        if each.type == tokenize.COMMENT
    ]
    return [*found, f"{len(comments)} comments"]


def test_text_in_toml_and_markdown_stays_text() -> None:
    for text in HOSTILE:
        assert "\n" not in in_toml(text)
        assert "\n" not in in_markdown(text)
        seen = "".join(each for each in " ".join(text.split()) if each.isprintable())
        assert ast.literal_eval(f'"""{in_docstring(text)}"""') == seen


@pytest.mark.parametrize(
    "word", ["class", "import", "match", "type", "metadata", "copy", "model_name", "dt", "list"]
)
def test_a_word_that_python_needs_gets_an_underscore(word: str) -> None:
    assert names.attribute(word) == f"{word}_"
    assert names.attribute("title") == "title"


def test_enum_members_are_distinct_identifiers() -> None:
    found = names.members(["a-b", "a.b", "a_b", "A_B", "9", "mro", "-"])

    assert len(set(found.values())) == 7
    assert all(each.isidentifier() for each in found.values())


@pytest.mark.parametrize(
    ("precision", "scale", "low", "high"),
    [
        (8, 2, "0", None),
        (8, 2, None, None),
        (5, 2, "0.5", "100"),
        (4, 1, "-3.7", "12.3"),
        (3, 0, "5", "250"),
        (3, 3, None, None),
        (2, 1, "-5", "-0.5"),
        (6, 2, "0.01", "999.99"),
        (2, 0, "3", "3"),
    ],
)
def test_a_decimal_matches_its_pattern_exactly_within_its_bounds(
    precision: int, scale: int, low: str | None, high: str | None
) -> None:
    least, most = (Decimal(low) if low else None), (Decimal(high) if high else None)
    pattern = decimal_pattern(precision=precision, scale=scale, minimum=least, maximum=most)
    widest = Decimal(10) ** (precision - scale) - Decimal(1).scaleb(-scale)

    for step in range(-30_000, 30_001):
        value = Decimal(step).scaleb(-scale)
        is_within = (
            abs(value) <= widest and (least is None or value >= least) and (most is None or value <= most)
        )
        assert bool(re.fullmatch(pattern, f"{value:.{scale}f}")) == is_within, value


@pytest.mark.parametrize(
    "pattern", ["^97[89][0-9]{10}$", "^\\+[0-9]{6,15}$", "^(a|b)+c?[^x]\\d$", "^\\w{3}-\\d+$", "^.{2}$"]
)
def test_texts_are_made_that_match_a_pattern(pattern: str) -> None:
    made = [text_matching(pattern, number) for number in range(8)]

    assert all(each is not None and matches(pattern, each) for each in made)
    assert len(set(made)) == 8


FIELDS = [
    Field(name="title", type=FieldType.STRING, min_length=3, max_length=5),
    Field(name="code", type=FieldType.STRING, max_length=255, pattern="^[A-Z]{2}[0-9]$"),
    Field(name="count", type=FieldType.INTEGER, minimum=-2, maximum=40),
    Field(name="share", type=FieldType.NUMBER, minimum=0.5, maximum=0.75),
    Field(name="price", type=FieldType.DECIMAL, precision=5, scale=2, minimum="0.5", maximum="3"),
    Field(name="day", type=FieldType.DATE),
    Field(name="at", type=FieldType.DATETIME, example="2026-01-31T12:00:00+02:00"),
    Field(name="mail", type=FieldType.EMAIL),
]


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_samples_differ_and_what_is_refused_is_none_of_them(field: Field) -> None:
    samples = [sample(field, number) for number in range(8)]

    assert len(set(samples)) == 8
    assert not {repr(each) for each in samples} & {each.source for each in refused(field)}


def test_a_moment_is_shown_in_utc() -> None:
    assert sample(FIELDS[6]) == "2026-01-31T10:00:00Z"


def test_pins_name_what_is_installed_with_all_that_it_needs() -> None:
    pins = dict(line.split(" ;")[0].split("==") for line in pinned(["fastapi", "sqlalchemy[asyncio]"]))

    assert {"fastapi", "starlette", "pydantic", "pydantic-core", "sqlalchemy", "greenlet"} <= pins.keys()
    assert "pytest" not in pins
