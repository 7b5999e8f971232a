"""Programs and command lines as Windows reads them; pure, so that every rule is tested on any system."""

import subprocess
from pathlib import PureWindowsPath

from chargehand.errors import InvalidInput


def is_of_one_user(path: str, users_folder: str = r"C:\Users") -> bool:
    """Whether it lies in somebody's own folder, which a service's account cannot read."""
    return PureWindowsPath(path).is_relative_to(PureWindowsPath(users_folder))


def command_line(program: str, *arguments: str) -> str:
    """One string that Windows takes apart into just these.

    The program is always in quotation marks: of `C:\\Program Files\\…` without them Windows would try `C:\\Program`
    first, which anybody might have put there.
    """
    if '"' in program or "\0" in program:
        raise InvalidInput(f"{program!r} cannot be the path of a program")
    return f'"{program}"' + "".join(f" {subprocess.list2cmdline([one])}" for one in arguments)
