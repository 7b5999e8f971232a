"""Front matter from anywhere: lines for people, limits for everyone else."""

from collections.abc import Mapping

import pytest

from chargehand.domain.agent import parse_definition
from chargehand.domain.front_matter import line_of, load_front_matter, refuse
from chargehand.errors import Finding, InvalidDefinition

BLOCK = """---
name: a
description: d
tools: Raed
chargehand:
  runtime: playbook
  playbook: a
  attempts: 99
  deliverables:
    - name: report
      path: out/report.json
      checks:
        - json: true
        - runs: pytest
    - name: other
      path: ../out
---
body
"""


def read_front_matter(
    front: str, origin: str, first_line: int
) -> tuple[dict[str, object], Mapping[str, int]]:
    """As the parser does where it has no way around what is wrong."""
    fields = load_front_matter(front, origin, first_line)
    if isinstance(fields, Finding):
        refuse(fields, origin)
    return fields.values, fields.lines


def test_every_finding_tells_the_line_on_which_it_stands() -> None:
    with pytest.raises(InvalidDefinition) as caught:
        parse_definition(BLOCK)

    lines = {finding.where: finding.line for finding in caught.value.findings}
    assert lines == {
        "tools": 4,
        "chargehand.attempts": 8,
        "chargehand.deliverables[0].checks[1].runs": 14,
        "chargehand.deliverables[0].checks[1].run": 14,
        "chargehand.deliverables[1].path": 16,
    }


def test_what_is_missing_is_told_with_the_line_of_what_it_is_missing_from() -> None:
    _, lines = read_front_matter("a:\n  - b: 1\n  - c: 2\n", "it", 2)

    assert line_of("a[1].missing", lines) == 4
    assert line_of("a[7].b", lines) == 2
    assert line_of("elsewhere", lines) is None


def test_a_document_of_aliases_that_would_grow_without_end_is_refused() -> None:
    layers = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    layers += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]

    with pytest.raises(InvalidDefinition, match="more than 10000 values"):
        read_front_matter("\n".join(layers), "it", 2)


def test_a_document_that_holds_itself_is_refused() -> None:
    with pytest.raises(InvalidDefinition, match="more than 10000 values"):
        read_front_matter("a: &a [*a]", "it", 2)


@pytest.mark.parametrize(
    ("front", "said"),
    [
        ("[" * 5000, "nested too deeply|not YAML"),
        ("since: 2026-13-45", "cannot be"),
        ("a: !!python/object/apply:os.system [id]", "not YAML: could not determine a constructor"),
        ("a: \x07", "not YAML"),
        ("{}: [", "not YAML"),
        ("? [a]\n: b", "not YAML: found unhashable key"),
        ("a: *nobody", "undefined alias 'nobody'"),
        ("just text", "is not a list of `key: value` lines"),
        ("", "is not a list of `key: value` lines"),
    ],
)
def test_what_is_no_front_matter_is_refused_with_a_line(front: str, said: str) -> None:
    with pytest.raises(InvalidDefinition, match=said) as caught:
        read_front_matter(front, "it", 2)

    assert caught.value.findings[0].line is not None


@pytest.mark.parametrize("text", ["\x00", "\ud800"])
def test_a_definition_that_is_no_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidDefinition, match="NUL or a lone surrogate"):
        parse_definition(f"---\nname: a\ndescription: d\n---\nbody{text}\n")
