"""A service specification: what is read, and what is said about each thing wrong with it."""

import json
from pathlib import Path
from textwrap import dedent

import pytest

from chargehand.crew.specification import as_data, parse_specification, specification_from_data
from chargehand.crew.specification_model import FieldType, OnDelete
from chargehand.errors import Finding, InvalidSpecification

ROOT = Path(__file__).parents[2]
BOOKSTORE = (ROOT / "examples" / "bookstore.yaml").read_text(encoding="utf-8")
TOOL_SHED = (Path(__file__).parent / "specifications" / "tool_shed.yaml").read_text(encoding="utf-8")
STATES = (
    "fields: {a: string}\nstates:\n"
    "  initial: open\n  values: [open, done]\n  transitions: {end: {from: open, to: done}}"
)
LEAST = "service: {name: shop}\nresources:\n  item:\n    fields:\n      title: string\n"


def findings_of(text: str) -> list[Finding]:
    """What is said about a text that is no specification."""
    with pytest.raises(InvalidSpecification) as caught:
        parse_specification(dedent(text))
    assert caught.value.findings
    return list(caught.value.findings)


def item(lines: str, head: str = "service: {name: shop}\n") -> str:
    """A specification of one resource, whose text begins in line 4."""
    body = "\n".join(f"    {line}" for line in dedent(lines).strip("\n").split("\n"))
    return f"{head}resources:\n  item:\n{body}\n"


def test_the_example_is_read_as_it_is_meant() -> None:
    spec = parse_specification(BOOKSTORE, name="bookstore.yaml")

    assert [each.name for each in spec.resources] == ["author", "book", "member", "loan"]
    book, loan = spec.resource_named("book"), spec.resource_named("loan")
    price = book.field_named("price")
    assert price is not None
    assert (price.type, price.precision, price.scale, price.minimum) == (FieldType.DECIMAL, 8, 2, "0")
    assert book.belongs_to[0].nested == "books"
    assert book.belongs_to[0].on_delete is OnDelete.RESTRICT
    assert loan.states is not None
    assert loan.states.field == "status"
    assert loan.owned_by == "member"
    assert loan.permissions["return"] == ("librarian",)
    assert book.permissions["list"] == ("public",)
    assert spec.performance.targets[0].p95_ms == 50


@pytest.mark.parametrize("text", [BOOKSTORE, TOOL_SHED, LEAST], ids=["bookstore", "tool-shed", "least"])
def test_its_data_reads_back_as_the_same_specification(text: str) -> None:
    spec = parse_specification(text)

    data = json.loads(json.dumps(as_data(spec)))

    assert specification_from_data(data) == spec
    assert parse_specification(json.dumps(data, indent="\t")) == spec


def test_what_is_left_out_has_a_sensible_value() -> None:
    spec = parse_specification(LEAST)

    resource = spec.resources[0]
    assert (spec.title, spec.version, resource.plural) == ("Shop", "1.0.0", "items")
    assert resource.operations == ("list", "get", "create", "update", "delete")
    assert resource.permissions["delete"] == ("public",)
    title = resource.fields[0]
    assert (title.required, title.nullable, title.max_length) == (True, False, 255)


# Line, place, a part of the message, a part of the hint.
FAULTS: dict[str, tuple[str, int, str, str, str]] = {
    "misspelt key": (item("feilds: {title: string}"), 4, "resources.item.feilds", "not known", "'fields'"),
    "misspelt type": (item("fields:\n  title: strng"), 5, "title.type", "'strng' is no type", "'string'"),
    "other word for a type": (item("fields:\n  title: varchar"), 5, "title.type", "no type", "'string'"),
    "no type": (item("fields:\n  title: {max_length: 3}"), 5, "title.type", "missing", "string, text"),
    "unknown resource": (
        item("fields: {a: string}\nbelongs_to:\n  itm: {}"),
        6,
        "belongs_to.itm",
        "'itm'",
        "'item'",
    ),
    "unknown link": (
        item("fields: {a: string}\nmany_to_many:\n  tags: tag"),
        6,
        "many_to_many.tags",
        "'tag'",
        "known",
    ),
    "constraint of another type": (
        item("fields:\n  n: {type: integer, pattern: x}"),
        5,
        "n.pattern",
        "nothing",
        "string",
    ),
    "default against a constraint": (
        item("fields:\n  n: {type: integer, maximum: 3, default: 4}"),
        5,
        "n.default",
        "more than maximum",
        "smaller",
    ),
    "example against a pattern": (
        item("fields:\n  c: {type: string, pattern: '^[A-Z]$', example: a}"),
        5,
        "c.example",
        "pattern",
        "one that does",
    ),
    "pattern that is none": (
        item("fields:\n  c: {type: string, pattern: '^(a$'}"),
        5,
        "c.pattern",
        "no regular",
        "backslash",
    ),
    "pattern with look-around": (
        item("fields:\n  c: {type: string, pattern: '^(?=a)a$'}"),
        5,
        "c.pattern",
        "",
        "look-around",
    ),
    "pattern without anchors": (
        item("fields:\n  c: {type: string, pattern: 'a'}"),
        5,
        "c.pattern",
        "anchored",
        '"^a$"',
    ),
    "minimum above maximum": (
        item("fields:\n  n: {type: integer, minimum: 2, maximum: 1}"),
        5,
        "n.minimum",
        "more than",
        "swap",
    ),
    "lengths the wrong way round": (
        item("fields:\n  c: {type: string, min_length: 5, max_length: 2}"),
        5,
        "c.min_length",
        "more than",
        "swap",
    ),
    "beyond what JSON keeps exact": (
        item("fields:\n  n: {type: integer, default: 99999999999999999999}"),
        5,
        "n.default",
        "out of range",
        "within",
    ),
    "too many decimals": (
        item("fields:\n  p: {type: decimal, scale: 2, default: '1.234'}"),
        5,
        "p.default",
        "more than 2 digits",
        "scale",
    ),
    "enum without values": (
        item("fields:\n  e: {type: enum}"),
        5,
        "e.values",
        "needs its values",
        "[one, two]",
    ),
    "enum of booleans": (
        item("fields:\n  e: {type: enum, values: [yes, no]}"),
        5,
        "e.values",
        "boolean",
        '"yes" in quotes',
    ),
    "default that is no value": (
        item("fields:\n  e: {type: enum, values: [red, blue], default: rad}"),
        5,
        "e.default",
        "not among",
        "'red'",
    ),
    "no such day": (
        item("fields:\n  d: {type: date, default: 2026-02-30}"),
        5,
        "d.default",
        "no date",
        "2026-01-31",
    ),
    "moment without zone": (
        item("fields:\n  t: {type: datetime, default: '2026-01-01T00:00:00'}"),
        5,
        "t.default",
        "no time zone",
        "Z",
    ),
    "required with default": (
        item("fields:\n  n: {type: integer, required: true, default: 1}"),
        5,
        "n.required",
        "no use",
        "drop",
    ),
    "name in capitals": (
        item("fields:\n  firstName: string"),
        5,
        "fields.firstName",
        "cannot be",
        "'first_name'",
    ),
    "name of ours": (item("fields:\n  id: integer"), 5, "fields.id", "already", "another name"),
    "plural name": (LEAST.replace("item:", "items:"), 3, "resources.items", "plural", "'item'"),
    "reserved resource": (
        LEAST.replace("item:", "account:"),
        3,
        "resources.account",
        "itself",
        "another name",
    ),
    "service that hides a module": (
        LEAST.replace("shop", "json"),
        1,
        "service.name",
        "hide",
        "'json-service'",
    ),
    "unknown filter": (
        item("fields: {title: string}\nfilter: [titel]"),
        5,
        "item.filter",
        "'titel'",
        "'title'",
    ),
    "unknown index": (
        item("fields: {title: string}\nindexes:\n  - on: [titel]"),
        6,
        "indexes[0].on",
        "'titel'",
        "'title'",
    ),
    "filter that collides": (
        item("fields: {limit: integer}\nfilter: [limit]"),
        5,
        "item.filter",
        "'limit' is taken",
        "rename",
    ),
    "misspelt state": (
        item(STATES.replace("initial: open", "initial: opn")),
        6,
        "states.initial",
        "'opn'",
        "'open'",
    ),
    "transition to nowhere": (
        item(STATES.replace("to: done", "to: dne")),
        8,
        "end.to",
        "'dne'",
        "'done'",
    ),
    "state out of reach": (
        item(STATES.replace("done]", "done, lost]")),
        7,
        "states.values",
        "'lost'",
        "drop the state",
    ),
    "roles without authentication": (
        LEAST + "permissions: {read: admin}\n",
        6,
        "permissions",
        "everybody",
        "drop",
    ),
    "misspelt role": (
        LEAST + "authentication: {method: jwt, roles: [admin]}\npermissions: {read: public, write: admn}\n",
        7,
        "permissions",
        "'admn'",
        "'admin'",
    ),
    "nobody decided": (
        LEAST + "authentication: {method: jwt, roles: [admin]}\n",
        3,
        "permissions",
        "nobody may",
        "read and write",
    ),
    "owner of nothing": (
        LEAST + "authentication: {method: jwt, roles: [admin]}\npermissions: {read: public, write: owner}\n",
        7,
        "permissions",
        "not every resource",
        "in the resources",
    ),
    "owned by what is not owned": (
        item(
            "fields: {a: string}\nowned_by: itm\npermissions: {read: owner, write: owner}",
            "service: {name: shop}\nauthentication: {method: jwt}\n",
        ),
        6,
        "item.owned_by",
        "'itm'",
        "account",
    ),
    "required self reference": (
        item("fields: {a: string}\nbelongs_to:\n  item: {}"),
        6,
        "belongs_to.item",
        "never",
        "nullable",
    ),
    "set_null of what must be": (
        item("fields: {a: string}\nbelongs_to:\n  item: {on_delete: set_null}"),
        6,
        "item.on_delete",
        "may be null",
        "nullable",
    ),
    "unknown measured operation": (
        LEAST + "performance:\n  operations:\n    item.lst: {p95_ms: 5}\n",
        8,
        "item.lst",
        "no operation",
        "'item.list'",
    ),
    "event of a read": (
        LEAST + "integrations:\n  audit:\n    events: {item.list: /x}\n",
        8,
        "events.item.list",
        "changes nothing",
        "item.",
    ),
    "negative limit": (
        LEAST + "rate_limit: {requests: -1}\n",
        6,
        "rate_limit.requests",
        "out of range",
        "from 1",
    ),
    "key given twice": (
        LEAST + "service: {name: again}\n",
        6,
        "service",
        "given twice, first in line 1",
        "keep one",
    ),
    "merge key": ("a: &a {x: 1}\nservice:\n  <<: *a\n", 3, "service", "merge keys", "write the entries out"),
    "list where a mapping belongs": (
        LEAST.replace("title: string", "- title"),
        4,
        "item.fields",
        "mapping",
        "name",
    ),
    "control character": (
        'service: {name: shop, title: "a\\u0007"}\n' + LEAST[21:],
        1,
        "service.title",
        "control",
        "remove",
    ),
    "half a surrogate pair": (
        '{"service": {"name": "x", "title": "\\ud83d"}}',
        1,
        "service.title",
        "surrogate",
        "remove",
    ),
}


@pytest.mark.parametrize("fault", FAULTS, ids=[name.replace(" ", "-") for name in FAULTS])
def test_a_fault_is_told_with_its_line_and_a_hint(fault: str) -> None:
    text, line, where, message, hint = FAULTS[fault]

    findings = findings_of(text)

    told = [each for each in findings if each.line == line and where in each.where]
    assert told, "\n".join(str(each) for each in findings)
    assert any(message in each.message and hint in each.hint for each in told), "\n".join(map(str, told))


def test_all_faults_are_told_at_once_and_each_once() -> None:
    text = """\
        service: {name: shop, titel: Shop}
        authentication: {method: jwt, roles: [admin]}
        resources:
          item:
            fields:
              a: strng
              b: {type: integer, minimum: many}
            permissions: {read: publik, write: admin}
            colour: red
        """

    findings = findings_of(text)

    assert [each.line for each in findings] == sorted(each.line or 0 for each in findings)
    assert {each.line for each in findings} == {1, 6, 7, 8, 9}
    assert len(set(findings)) == len(findings)


def test_a_wrong_field_is_told_once_though_lists_name_it() -> None:
    findings = findings_of(item("fields:\n  price: {type: decimel}\nfilter: [price]\nsort: [price]"))

    assert [each.line for each in findings] == [5]


UNREADABLE = {
    "empty": ("", "empty"),
    "only a comment": ("# nothing\n", "empty"),
    "no mapping": ("- a\n- b\n", "must be a mapping"),
    "broken YAML": ("service: [", "no YAML or JSON"),
    "broken JSON": ('{"service": {"name": "x"', "no YAML or JSON"),
    "tabs in YAML": ("service:\n\tname: x\n", "no YAML or JSON"),
    "two documents": ("a: 1\n---\nb: 2\n", "no YAML or JSON"),
    "unprintable": ("service: \x00", "no YAML or JSON"),
    "too deep": ("[" * 5000, "nested deeper"),
    "too large": ("a: " + "x" * 300_000, "larger than"),
    "an alias that contains itself": ("a: &a [*a]", "contains itself"),
    "an unknown alias": ("a: *nowhere", "no YAML or JSON"),
    "aliases that multiply": (
        "\n".join(
            ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
            + [
                f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]"
                for before, name in ("ab", "bc", "cd", "de")
            ]
        ),
        "more than 20000 values",
    ),
}


@pytest.mark.parametrize("name", UNREADABLE, ids=[name.replace(" ", "-") for name in UNREADABLE])
def test_what_cannot_be_read_is_told_as_such(name: str) -> None:
    text, message = UNREADABLE[name]

    findings = findings_of(text)

    assert message in findings[0].message
    assert findings[0].hint


def test_a_pattern_that_would_take_for_ever_takes_no_time() -> None:
    text = item("fields:\n  p: {type: string, pattern: '^(a+)+$', example: '" + "a" * 60 + "b'}")

    assert "does not match" in findings_of(text)[0].message


DATA: dict[str, object] = {
    "no mapping": [],
    "nothing": None,
    "a number": 5,
    "bytes": b"service",
    "a key that is no text": {1: 2},
    "an object": {"service": object()},
    "infinity": {"service": {"name": "x"}, "rate_limit": {"requests": float("inf")}},
    "a list as name": {"service": {"name": ["x"]}},
    "half a surrogate": {"service": {"name": "x", "title": "\ud800"}},
}


@pytest.mark.parametrize("name", DATA, ids=[name.replace(" ", "-") for name in DATA])
def test_data_that_is_no_specification_is_told_as_such(name: str) -> None:
    with pytest.raises(InvalidSpecification) as caught:
        specification_from_data(DATA[name])

    assert caught.value.findings


def test_data_that_contains_itself_is_refused() -> None:
    data: dict[str, object] = {}
    data["service"] = data

    with pytest.raises(InvalidSpecification, match="nested deeper"):
        specification_from_data(data)


def test_json_may_be_indented_with_tabs_and_carry_pairs_of_surrogates() -> None:
    resources = '"resources": {"a": {"fields": {"b": "string"}}}'
    text = '{\n\t"service": {"name": "x", "title": "\\ud83d\\ude00"},\n\t' + resources + "}"

    assert parse_specification(text).title == "\U0001f600"
