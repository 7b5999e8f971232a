"""What the process says and which code it exits with when something did not go as asked.

Rule: an error is one to three lines on standard error that name the thing and the way out; scripts read
the code.
"""

import errno
import os
import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from enum import IntEnum

from chargehand.errors import (
    ChargehandError,
    DataFolderInUse,
    Finding,
    Forbidden,
    NotFound,
    StorageFull,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)

MAX_FINDINGS = 20


class ExitCode(IntEnum):
    """docs/guide/command-line.md tells these to the authors of scripts."""

    OK = 0
    FAILED = 1
    INVALID = 2
    CANCELED = 3
    NOT_FOUND = 4
    NOT_ALLOWED = 5
    UNAVAILABLE = 6
    INTERRUPTED = 130
    OUTPUT_CLOSED = 141


class Told(Exception):
    """What is to be said, worked out where more was known of it, and the code to exit with."""

    def __init__(self, lines: Sequence[str], code: ExitCode) -> None:
        super().__init__(*lines)
        self.lines = tuple(lines)
        self.code = code


class Stopped(Told):
    """A person stopped the command; the message says how to go on."""

    def __init__(self, advice: str) -> None:
        super().__init__([advice], ExitCode.INTERRUPTED)


def code_of(error: BaseException) -> ExitCode:
    """The exit code that an error stands for."""
    match error:
        case Unauthorized() | Forbidden():
            return ExitCode.NOT_ALLOWED
        case NotFound():
            return ExitCode.NOT_FOUND
        case Unavailable() | DataFolderInUse() | StorageFull() | TooManyRequests():
            return ExitCode.UNAVAILABLE
        case ChargehandError() if error.status >= 500:
            return ExitCode.UNAVAILABLE
        case OSError():
            return ExitCode.UNAVAILABLE
        case KeyboardInterrupt():
            return ExitCode.INTERRUPTED
        case _:
            return ExitCode.INVALID


def lines_of(error: Exception, *, file: str | None = None) -> list[str]:
    """What is printed: findings as `file:line: message (hint)`, else the message itself."""
    if not isinstance(error, ChargehandError):
        return [f"chargehand: {_system_message(error)}"]
    if not error.findings:
        return [f"chargehand: {error.message}"]
    lines = [f"chargehand: {error.message}"] if file is None else []
    for one in error.findings[:MAX_FINDINGS]:
        if file is None and (str(one) in error.message or _is_all_of(error, one)):
            continue
        if file is None:
            lines.append(f"  {one}" if one.where else f"  {one.message}")
            continue
        place = ":".join(part for part in (file, str(one.line) if one.line else "") if part)
        hint = f" ({one.hint})" if one.hint else ""
        said = f"{one.where}: {one.message}{hint}" if one.where else f"{one.message}{hint}"
        lines.append(f"{place}: {said}")
    if len(error.findings) > MAX_FINDINGS:
        lines.append(f"and {len(error.findings) - MAX_FINDINGS} more")
    return lines


def _is_all_of(error: ChargehandError, one: Finding) -> bool:
    """Whether the message has told the only finding already."""
    return len(error.findings) == 1 and not one.hint and one.message in error.message


@contextmanager
def naming(file: str | None) -> Generator[None]:
    """Tell findings as being of this file."""
    try:
        yield
    except ChargehandError as error:
        if file is None or not error.findings:
            raise
        raise Told(lines_of(error, file=file), code_of(error)) from error


def _system_message(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        reason = os.strerror(error.errno)
        place = f"{error.filename}: " if error.filename else ""
        hint = "; free some space" if error.errno == errno.ENOSPC else ""
        return f"{place}{reason}{hint}"
    return str(error) or type(error).__name__


def say(text: str) -> None:
    """One line for a person, on standard error, where it never mixes with output that a script reads."""
    if sys.stderr is not None:  # pyright: ignore[reportUnnecessaryComparison] - None when the descriptor is closed
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - the command line talks to a person
