"""A deliverable's name is a part of a URL and of a path in an archive."""

import pytest

from chargehand.domain.agent import parse_definition
from chargehand.errors import InvalidDefinition

DEFINITION = """---
name: writer
description: Writes.
chargehand:
  runtime: command
  command: [python, write.py]
  deliverables:
    - name: {name!r}
      path: out.txt
---
It writes.
"""


@pytest.mark.parametrize("name", ["a/b", "../up", ".hidden", "a\\b", "x" * 129, "what?", "ends."])
def test_a_name_that_no_url_can_carry_is_refused(name: str) -> None:
    with pytest.raises(InvalidDefinition, match="name"):
        parse_definition(DEFINITION.format(name=name))


@pytest.mark.parametrize("name", ["report", "API reference", "v1.2-final_3"])
def test_a_plain_name_is_taken(name: str) -> None:
    definition = parse_definition(DEFINITION.format(name=name))

    assert [promise.name for promise in definition.block.deliverables] == [name]
