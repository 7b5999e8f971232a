"""Checks of a command before anything is started."""

import os
from pathlib import PurePosixPath

from chargehand.errors import InvalidInput
from chargehand.tools.sandbox.base import SandboxCommand


def checked_argv(command: SandboxCommand) -> list[str]:
    """The arguments; `InvalidInput` when no program could be started with them."""
    if not command.argv or not command.argv[0]:
        raise InvalidInput("the command is empty: its first argument is the program to run")
    for argument in command.argv:
        if "\0" in argument:
            raise InvalidInput(f"the argument {argument[:80]!r} holds a NUL character: remove it")
    return list(command.argv)


def open_workspace(command: SandboxCommand) -> int:
    """A descriptor of the workspace, held from the check to the mount; `InvalidInput` where there is none.

    The folder to start in is looked up here to be named in the error; what it leads to is up to the sandbox.
    """
    cwd = PurePosixPath(command.cwd)
    if cwd.is_absolute() or ".." in cwd.parts or "\0" in command.cwd:
        raise InvalidInput(
            f"the folder {command.cwd!r} is not inside the workspace: give a path relative to it"
        )
    flags = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW
    try:
        workspace = os.open(command.workspace, flags)
    except OSError as error:
        raise InvalidInput(f"the workspace {command.workspace} cannot be opened: {error.strerror}") from error
    try:
        os.close(os.open(command.cwd, os.O_PATH | os.O_DIRECTORY, dir_fd=workspace))
    except OSError as error:
        os.close(workspace)
        raise InvalidInput(f"the workspace has no folder {command.cwd!r}: {error.strerror}") from error
    return workspace
