"""What a task is given on the command line, and what is refused before anything is sent."""

from pathlib import Path

import pytest

from chargehand.cli.inputs import labels_of, schema_of, task_data_of, text_of
from chargehand.errors import InvalidInput


def test_a_specification_is_sent_as_the_files_text(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_bytes("\ufeffservice:\n  name: café\n".encode())

    data = task_data_of(spec=str(tmp_path / "spec.yaml"), prompt=None, data=None)

    assert data == {"specification": "service:\n  name: café\n"}


def test_a_prompt_and_data_are_sent_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "input.json").write_text('{"a": [1, null]}', encoding="utf-8")

    assert task_data_of(spec=None, prompt="Do it", data=None) == {"prompt": "Do it"}
    assert task_data_of(spec=None, prompt=None, data='{"n": 7}') == {"n": 7}
    assert task_data_of(spec=None, prompt=None, data=f"@{tmp_path / 'input.json'}") == {"a": [1, None]}
    assert task_data_of(spec=None, prompt=None, data=None) == {}


def test_an_output_schema_is_read_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text('{"type": "object"}', encoding="utf-8")
    (tmp_path / "list.json").write_text("[]", encoding="utf-8")

    assert schema_of(str(tmp_path / "schema.json")) == {"type": "object"}
    assert schema_of(None) is None
    with pytest.raises(InvalidInput, match=r"list\.json is not a JSON object"):
        schema_of(str(tmp_path / "list.json"))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ('{"a": 1,\n "b" 2}', "--data: line 2, column 6: Expecting ':' delimiter"),
        ("", "--data: line 1, column 1: Expecting value"),
        ("[1]", "--data is not a JSON object"),
        ('{"a": NaN}', "--data: NaN is not JSON"),
        ('{"a": -Infinity}', "--data: -Infinity is not JSON"),
        ("[" * 100_000, "nested too deep"),
        ('{"n": ' + "1" * 5000 + "}", "--data: Exceeds the limit"),
    ],
)
def test_data_that_is_no_json_object_is_told_with_its_place(data: str, told: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        task_data_of(spec=None, prompt=None, data=data)

    assert told in refused.value.message


def test_two_inputs_at_once_are_refused() -> None:
    with pytest.raises(InvalidInput, match="--prompt and --data cannot be given together"):
        task_data_of(spec=None, prompt="a", data="{}")


def test_a_file_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"ab\xff")

    with pytest.raises(InvalidInput, match=r"there is no file missing\.yaml in "):
        text_of("missing.yaml")
    with pytest.raises(InvalidInput, match="is a folder; name a file in it"):
        text_of(str(tmp_path))
    with pytest.raises(InvalidInput, match=r"is not UTF-8 text \(byte 2\)"):
        text_of(str(tmp_path / "binary"))
    with pytest.raises(InvalidInput, match="cannot be read"):
        text_of("nul\0byte")


def test_labels_are_key_and_value() -> None:
    assert labels_of(["team=billing", "note=a=b"]) == {"team": "billing", "note": "a=b"}

    for wrong in ("team", "=billing"):
        with pytest.raises(InvalidInput, match="is not of the form key=value"):
            labels_of([wrong])
