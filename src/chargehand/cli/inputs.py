"""What a task is given: a specification's text, a prompt, or JSON; from the command line, a file or standard input."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, cast

from chargehand.domain.budget import Budget
from chargehand.domain.money import nanos_of, usd_text
from chargehand.domain.values import JsonObject
from chargehand.errors import InvalidInput

MAX_INPUT_BYTES = 16 * 1024 * 1024
"""A service takes less; this only keeps a mistaken device or film out of memory."""


def task_data_of(*, spec: str | None, prompt: str | None, data: str | None) -> JsonObject:
    """The input of a task from the one option that was given."""
    given = [
        name
        for name, value in (("--spec", spec), ("--prompt", prompt), ("--data", data))
        if value is not None
    ]
    if len(given) > 1:
        raise InvalidInput(f"{' and '.join(given)} cannot be given together; choose one")
    if spec is not None:
        return {"specification": text_of(spec)}
    if prompt is not None:
        return {"prompt": prompt}
    return {} if data is None else _object_of(data, "--data")


def schema_of(file: str | None) -> JsonObject | None:
    """The JSON schema in a file."""
    return None if file is None else _object_of("-" if file == "-" else f"@{file}", "--output-schema")


def budget_of(texts: Sequence[str]) -> JsonObject:
    """LIMIT=AMOUNT, any number of them, as a budget; InvalidInput names what is none."""
    budget: JsonObject = {}
    for text in texts:
        name, equals, amount = (part.strip() for part in text.partition("="))
        if not equals or not amount:
            raise InvalidInput(f"--budget {text!r} is not of the form LIMIT=AMOUNT; write --budget usd=1.00")
        if name in budget:
            raise InvalidInput(f"--budget {name} is given more than once")
        # However it is written (1e3), it is sent as plain digits.
        budget[name] = (
            usd_text(nanos_of(amount, "--budget usd")) if name == "usd" else _number_of(name, amount)
        )
    Budget.from_data(budget)
    return budget


def _number_of(name: str, amount: str) -> int | float:
    try:
        return float(amount) if name == "wall_seconds" else int(amount)
    except ValueError:
        raise InvalidInput(f"--budget {name}: {amount!r} is no whole number") from None


def text_of(path: str) -> str:
    """A file's text, or standard input's for `-`; InvalidInput when there is none to be had."""
    name = "standard input" if path == "-" else path
    try:
        if path == "-":
            content = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
        else:
            with Path(path).open("rb") as file:
                content = file.read(MAX_INPUT_BYTES + 1)
    except FileNotFoundError:
        raise InvalidInput(f"there is no file {path}{_looked_in(path)}") from None
    except IsADirectoryError:
        raise InvalidInput(f"{path} is a folder; name a file in it") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise InvalidInput(f"{name} cannot be read: {reason}") from None
    if len(content) > MAX_INPUT_BYTES:
        raise InvalidInput(f"{name} is larger than {MAX_INPUT_BYTES // 2**20} MiB")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{name} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None


def _looked_in(path: str) -> str:
    return "" if Path(path).is_absolute() else f" in {Path.cwd()}"


def _object_of(data: str, name: str) -> JsonObject:
    if data == "-" or data.startswith("@"):
        name = "standard input" if data == "-" else data[1:]
        data = text_of("-" if data == "-" else data[1:])
    try:
        loaded: Any = json.loads(data, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise InvalidInput(f"{name}: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise InvalidInput(f"{name}: the JSON is nested too deep") from None
    except ValueError as error:
        raise InvalidInput(f"{name}: {error}") from None
    if not isinstance(loaded, dict):
        raise InvalidInput(f'{name} is not a JSON object; write {{"name": value}}')
    return cast("JsonObject", loaded)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def labels_of(listed: Sequence[str]) -> dict[str, str]:
    """key=value, any number of them."""
    labels: dict[str, str] = {}
    for text in listed:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise InvalidInput(f"--label {text!r} is not of the form key=value")
        labels[key] = value
    return labels
