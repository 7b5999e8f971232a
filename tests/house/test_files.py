"""Rules for every file: small, explained, free of what belongs to one machine."""

import re
from pathlib import Path

from tests.house.tree import BLUEPRINTS, ROOT, our_python, shown, text_of, written_files

MAX_LINES = 500
_SUPPRESSION = re.compile(
    r"#\s*(?:noqa|type:\s*ignore|pyright:\s*(?:ignore|basic|standard|strict))(?P<rest>.*)"
)
_HOME_FOLDER = re.compile(r"(?<![\w.])(?:/home/|/Users/|[A-Za-z]:\\+Users\\+)(?P<user>[A-Za-z][\w.-]*)")
# Names that documentation uses for "your own home folder".
_ANYONE = {"you", "user", "me", "name", "alice", "bob", "chargehand", "someone"}


def test_no_module_is_longer_than_500_lines() -> None:
    too_long = {
        shown(path): lines for path in our_python() if (lines := len(text_of(path).splitlines())) > MAX_LINES
    }

    assert too_long == {}


def test_every_module_says_in_its_first_line_what_it_is_for() -> None:
    silent = [
        shown(path)
        for path in our_python()
        if (text := text_of(path)).strip() and not text.startswith(('"""', "#!", 'r"""'))
    ]

    assert silent == []


def test_every_suppressed_finding_carries_a_reason() -> None:
    bare = [
        f"{shown(path)}:{number}: {line.strip()}"
        for path in our_python()
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if is_suppressed_without_reason(line)
    ]

    assert bare == []


def test_a_suppression_without_a_reason_is_seen() -> None:
    bare = ["x  # noqa", "x  # noqa: S603", "x  # type: ignore", "x  # pyright: ignore[reportAny]"]
    explained = [
        "x  # noqa: S603 - a list of our own",
        "x  # noqa: S603, S606 - a list of our own",
        "x  # pyright: ignore[reportAny]  # the library has no types",
        "x  # type: ignore[misc] - the stubs lag behind",
        "x  # a noqa is mentioned in prose",
    ]

    assert [is_suppressed_without_reason(line) for line in bare] == [True] * len(bare)
    assert [is_suppressed_without_reason(line) for line in explained] == [False] * len(explained)


def is_suppressed_without_reason(line: str) -> bool:
    found = _SUPPRESSION.search(line)
    if found is None:
        return False
    rest = found["rest"].strip()
    reason = re.sub(r"^(?:\[[\w ,]+\]|:\s*[A-Z]+\d+(?:\s*,\s*[A-Z]+\d+)*)", "", rest)
    return len(re.findall(r"\w+", reason)) < 2


def test_nothing_is_left_open() -> None:
    open_ends = re.compile(r"(?:#|//|<!--)\s*(?:TODO|FIXME|XXX)\b|\bNotImplementedError\b")

    found = [
        f"{shown(path)}:{number}: {line.strip()}"
        for path in (*written_files(".py", ".md", ".yaml", ".toml", ".sh"), *_blueprint_files())
        if path != Path(__file__)
        for number, line in enumerate(text_of(path).splitlines(), 1)
        if open_ends.search(line)
    ]

    assert found == []


def test_no_file_names_a_folder_of_the_machine_it_was_written_on() -> None:
    found: list[str] = []
    for path in written_files():
        text = path.read_bytes().decode("utf-8", errors="replace")
        found += [f"{shown(path)}: {ROOT}"] if f"{ROOT}/" in text else []
        found += [
            f"{shown(path)}: {match[0]}"
            for match in _HOME_FOLDER.finditer(text)
            if match["user"].lower() not in _ANYONE
        ]

    assert found == []


def test_no_command_goes_through_a_shell_of_the_service_itself() -> None:
    through_a_shell = re.compile(r"shell\s*=\s*True|os\.system\(|os\.popen\(|create_subprocess_shell")

    found = [
        shown(path)
        for path in our_python()
        if path.name not in {Path(__file__).name, "test_dangerous_calls.py"}
        and through_a_shell.search(text_of(path))
    ]

    assert found == []


def test_text_files_end_their_lines_the_same_way_on_every_system() -> None:
    found = [
        shown(path)
        for path in written_files(".py", ".md", ".yaml", ".toml", ".lock")
        if b"\r\n" in path.read_bytes()
    ]

    assert found == []


def _blueprint_files() -> list[Path]:
    return [path for path in BLUEPRINTS.rglob("*") if path.suffix in {".j2", ".jinja"}]
