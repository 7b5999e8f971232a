"""The environment of a command, built from nothing, and the toolchains that it may read.

Rule: no variable of the service is passed on, so that no secret can be among them.
"""

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from chargehand.errors import InvalidInput

_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SYSTEM_PATH = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/sbin")
_SYSTEM_FOLDERS = tuple(Path(name) for name in ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchains:
    """Read-only folders outside the system's own: where the interpreter and its programs live."""

    folders: tuple[Path, ...]
    """As they were named and as they really are: a virtual environment names its interpreter by both."""
    bin_folders: tuple[Path, ...]


def find_toolchains(extra: Sequence[Path] = ()) -> Toolchains:
    """The given folders, then the running interpreter's; those that would open up too much are left out."""
    named = [*extra, Path(sys.prefix), Path(sys.base_prefix)]
    folders: list[Path] = []
    for folder in named:
        for form in (folder.absolute(), folder.resolve()):
            if form.is_dir() and _may_be_read(form) and form not in folders:
                folders.append(form)
    bin_name = "Scripts" if os.name == "nt" else "bin"
    bins = (form / bin_name for folder in named for form in (folder.absolute(),))
    return Toolchains(folders=tuple(folders), bin_folders=tuple(dict.fromkeys(filter(Path.is_dir, bins))))


def _may_be_read(folder: Path) -> bool:
    """A prefix such as `/` or the service user's home folder would show everything below it."""
    too_wide = (Path(folder.anchor), Path.home(), *Path.home().parents)
    return folder not in too_wide and not any(folder.is_relative_to(system) for system in _SYSTEM_FOLDERS)


def build_environment(
    *, home: str, temporary: str, bin_folders: Iterable[Path], added: Mapping[str, str]
) -> dict[str, str]:
    """The whole environment of a command on a POSIX system."""
    built = {
        "PATH": ":".join([*map(str, bin_folders), *_SYSTEM_PATH]),
        "HOME": home,
        "TMPDIR": temporary,
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "USER": "user",
        "LOGNAME": "user",
        # Bytecode of a changed file would stay beside it and count against the workspace.
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return {**built, **checked_variables(added)}


def checked_variables(added: Mapping[str, str]) -> dict[str, str]:
    """The variables that a caller adds; `InvalidInput` for a name or value that no environment can hold."""
    for name, value in added.items():
        if not _VARIABLE_NAME.fullmatch(name):
            raise InvalidInput(f"{name!r} is no name of an environment variable: use letters, digits and '_'")
        if "\0" in value:
            raise InvalidInput(f"the environment variable {name} holds a NUL character: remove it")
    return dict(added)
