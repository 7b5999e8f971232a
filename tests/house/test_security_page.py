"""The security page: sixteen classes of flaws, each with a defence, and each defence with a test that exists."""

import re

from tests.house.tree import ROOT, text_of

PAGE = ROOT / "docs" / "security.md"


def rows() -> list[list[str]]:
    table = text_of(PAGE).partition("## Defences by class of flaw")[2].partition("\n## ")[0]
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in table.splitlines()
        if re.match(r"\| \d+ ", line)
    ]


def test_every_class_of_flaws_has_a_defence_and_a_test() -> None:
    assert [int(row[0].split()[0]) for row in rows()] == list(range(1, 17))
    for name, defence, tests in rows():
        assert len(defence.split()) > 5, name
        assert re.findall(r"`(tests/[\w/]+\.py)`", tests), name


def test_every_test_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(tests/[\w/]+\.py)`", text_of(PAGE)))
    missing = {one for one in named if not (ROOT / one).is_file()}

    assert missing == set()
    assert len(named) > 15


def test_the_page_says_what_is_not_defended_and_where_to_report() -> None:
    text = text_of(PAGE)

    assert "## What is not defended" in text
    assert "](../SECURITY.md)" in text
    assert not re.search(r"[\w.]+@[\w.]+\.\w+", text_of(ROOT / "SECURITY.md")), "no address that nobody reads"
