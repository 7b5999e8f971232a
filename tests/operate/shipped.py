"""What shipped files refer to, looked up: commands of the program, settings, fields of units."""

import shlex
from collections.abc import Iterator
from pathlib import Path

import typer.main

from chargehand.app.preflight import PREFIX
from chargehand.cli.main import app
from chargehand.settings import Settings

ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "packaging"
SETTINGS = {PREFIX + name.upper() for name in Settings.model_fields}


def parsed_by_the_program(line: str | list[str]) -> str:
    """The command that the program takes these words for; ValueError for what it would refuse."""
    words = shlex.split(line) if isinstance(line, str) else list(line)
    command = typer.main.get_command(app)
    path: list[str] = []
    while (known := getattr(command, "commands", None)) is not None:
        if not words or words[0] not in known:
            raise ValueError(f"{line}: there is no command {' '.join([*path, *words[:1]])!r}")
        path.append(words.pop(0))
        command = known[path[-1]]
    try:
        command.make_context(path[-1], words)
    except Exception as error:
        raise ValueError(f"{line}: {error}") from error
    return " ".join(path)


def unit_fields(text: str) -> Iterator[tuple[str, str, str]]:
    """Section, name and value of each line of a systemd unit."""
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            yield section, name, value
