"""What commands print: rows in columns for people, JSON for programs."""

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from pydantic import BaseModel

from chargehand.cli.exits import ExitCode, say
from chargehand.cli.lines import one_line

GAP = "  "
Body = TypeVar("Body", bound=BaseModel)


def write(text: str = "") -> None:
    """A line on standard output."""
    sys.stdout.write(text + "\n")


def write_json(value: BaseModel | Sequence[BaseModel] | dict[str, object]) -> None:
    """One JSON document, in characters that every code page has."""
    if isinstance(value, BaseModel):
        shown: object = value.model_dump(mode="json")
    elif isinstance(value, dict):
        shown = value
    else:
        shown = [one.model_dump(mode="json") for one in value]
    write(json.dumps(shown, indent=2, ensure_ascii=True))


def write_one(found: Body, in_words: Callable[[Body], object], *, as_json: bool) -> ExitCode:
    """What a command came to, in words for people."""
    if as_json:
        write_json(found)
    else:
        in_words(found)
    return ExitCode.OK


def write_table(
    found: Sequence[Body],
    head: Sequence[str],
    row: Callable[[Body], Sequence[str]],
    *,
    as_json: bool,
    empty: str = "",
) -> ExitCode:
    """What a list holds, a row each; `empty`: what is said to a person instead of no row."""
    if as_json:
        write_json(found)
    elif not found and empty:
        say(empty)
    else:
        write_rows(head, [row(one) for one in found])
    return ExitCode.OK


def write_rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their content; on a terminal the last one is cut to the width."""
    table = [head, *([one_line(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for row in table:
        cells = [cell.ljust(size) for cell, size in zip(row[:-1], widths, strict=False)]
        line = GAP.join([*cells, row[-1]]).rstrip()
        write(line[:width] if width else line)


def write_fields(fields: Sequence[tuple[str, str]]) -> None:
    """Names and values below each other; a field without a value is left out."""
    shown = [(name, value) for name, value in fields if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        write(f"{name:<{width}}{GAP}{one_line(value)}")
