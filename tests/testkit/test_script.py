"""A script that is wrong is refused with file and place before anything is served."""

from pathlib import Path

import pytest

from chargehand.errors import InvalidInput
from chargehand.testkit.script import read_script, script_of_text
from chargehand.testkit.server import scripted_models

GOOD = """
- match: {model: "claude-*"}
  turns:
    - text: Hello.
    - calls: [{name: f}]
      fault: {status: 429, times: 1, retry_after: 1}
"""


def test_a_script_is_read() -> None:
    (conversation,) = script_of_text(GOOD)

    assert conversation.match.model == "claude-*"
    assert [turn.text for turn in conversation.turns] == ["Hello.", None]


@pytest.mark.parametrize(
    ("old", "new", "line", "where", "message"),
    [
        ("text: Hello.", "txt: Hello.", 4, "[0].turns[0].txt", "no such field"),
        ("text: Hello.", "text: 5", 4, "[0].turns[0].text", "valid string"),
        ("text: Hello.", "delay_seconds: 1", 4, "[0].turns[0]", "a turn has a text"),
        ("{name: f}", "{name: a b}", 5, "[0].turns[1].calls[0].name", "pattern"),
        ("{name: f}", "{}", 5, "[0].turns[1].calls[0].name", "required"),
        ("status: 429", "status: 200", 6, "[0].turns[1].fault.status", "greater than"),
        ("status: 429", "hang_before: true", 6, "[0].turns[1].fault", "retry_after belongs to a status"),
        ("status: 429", "status: 429, empty: true", 6, "[0].turns[1].fault", "exactly one of status,"),
        ("status: 429, times: 1, retry_after: 1", "", 6, "[0].turns[1].fault", "exactly one"),
        ("calls: [{name: f}]", "thinking:", 5, "[0].turns[1]", "after the times"),
        ("match: {model", "match: {modle", 2, "[0].match.modle", "no such field"),
        ("- text: Hello.", "- text: [", 5, "", "no YAML"),
    ],
)
def test_a_wrong_script_is_refused_with_its_place(
    tmp_path: Path, old: str, new: str, line: int, where: str, message: str
) -> None:
    file = tmp_path / "script.yaml"
    file.write_text(GOOD.replace(old, new), encoding="utf-8")

    with pytest.raises(InvalidInput) as refused:
        read_script(file)

    finding = refused.value.findings[0]
    assert str(file) in refused.value.message
    assert (finding.line, finding.where) == (line, where)
    assert message in finding.message


@pytest.mark.parametrize("text", ["", "[]", "text", "{}", "- {}", "- turns: []"])
def test_what_has_no_turns_is_no_script(text: str) -> None:
    with pytest.raises(InvalidInput, match="is no script for a model server"):
        script_of_text(text)


def test_a_file_of_other_bytes_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "script.yaml"
    file.write_bytes(b"\xff\xfe")

    with pytest.raises(InvalidInput, match=r"script\.yaml is no UTF-8 text"):
        read_script(file)


async def test_a_wrong_script_is_refused_in_a_test_too() -> None:
    with pytest.raises(InvalidInput, match=r"\[0\]\.turns"):
        async with scripted_models([{"match": {}}]):
            pytest.fail("it must not start")
