"""`chargehand.env` in the data folder: the settings of a service, which no terminal gives any.

One `NAME=value` a line, as systemd's EnvironmentFile takes it; a backslash is a backslash, so that paths of Windows
can be written as they are. What cannot be read so is refused with its line.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from chargehand.errors import InvalidInput, Unavailable

FILE_NAME = "chargehand.env"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LINE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)=(?P<value>.*)")


def read_settings_file(path: Path) -> dict[str, str]:
    """Names and values; nothing when there is no such file. InvalidInput names file and line, and shows no value."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{path} is no UTF-8 text; save it as UTF-8") from error
    except OSError as error:
        raise Unavailable(
            f"{path} cannot be read ({error.strerror}); give the service's account access"
        ) from error
    return parsed(text, str(path))


def parsed(text: str, called: str) -> dict[str, str]:
    """As `read_settings_file`, of text."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith(("#", ";")):
            continue
        match = _LINE.fullmatch(line)
        if match is None or "\0" in line:
            raise InvalidInput(f"{called}:{number}: not of the form NAME=value")
        name = match["name"].upper()
        if name in found:
            raise InvalidInput(f"{called}:{number}: {name} is set a second time; keep one of them")
        found[name] = _unquoted(match["value"].strip(), f"{called}:{number}")
    return found


def _unquoted(value: str, where: str) -> str:
    if value[:1] not in ('"', "'"):
        return value
    if len(value) < 2 or value[-1] != value[0]:
        raise InvalidInput(f"{where}: a quotation mark is opened and not closed")
    return value[1:-1]


def environment_block(values: Mapping[str, str]) -> list[str]:
    """The lines of a service's `Environment` in the registry. Every user of the machine may read them: no secrets."""
    for name, value in values.items():
        if "\0" in value or not _NAME.fullmatch(name):
            raise InvalidInput(f"{name} cannot be a variable of a service's environment")
    return [f"{name}={value}" for name, value in values.items()]
