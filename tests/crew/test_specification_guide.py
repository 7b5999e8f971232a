"""The guide to the format: its examples are read, and it leaves nothing out."""

import re
from pathlib import Path

import yaml

from chargehand.crew import specification, specification_fields, specification_resources
from chargehand.crew.specification import parse_specification
from chargehand.crew.specification_model import FieldType, OnDelete

GUIDE = (Path(__file__).parents[2] / "docs" / "guide" / "specification.md").read_text(encoding="utf-8")


def test_its_least_example_is_a_specification() -> None:
    example = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)[0]

    assert [each.name for each in parse_specification(example).resources] == ["note"]


def test_its_parts_are_read_inside_a_whole_specification() -> None:
    fragments = [yaml.safe_load(each) for each in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)[1:]]
    relations, states, performance, integrations = fragments
    plain = {"fields": {"title": "string"}}
    data = {
        "service": {"name": "guide"},
        "authentication": {"method": "jwt", "roles": ["librarian"]},
        "permissions": {"read": "public", "write": "librarian"},
        "resources": {
            **dict.fromkeys(("author", "person", "category", "tag"), plain),
            "book": plain | relations,
            "loan": states
            | {"fields": {"returned_at": {"type": "datetime", "nullable": True}}, "owned_by": "account"},
        },
        **performance,
        **integrations,
    }

    spec = specification.specification_from_data(data)

    assert spec.resource_named("book").belongs_to[2].nested == "books"
    assert spec.integrations[0].events[0].path == "/events/loan-returned"


def test_it_names_every_key_type_and_word() -> None:
    keys = {*specification.KEYS, *specification_resources.RESOURCE_KEYS, *specification_fields.FIELD_KEYS}

    missing = [
        each for each in sorted({*keys, *FieldType, *OnDelete}) if not re.search(rf"\b{each}\b", GUIDE)
    ]

    assert missing == []
