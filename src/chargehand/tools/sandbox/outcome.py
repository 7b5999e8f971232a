"""From what was seen of a process to how the command ended."""

import signal

from chargehand.tools.sandbox.attend import Attended
from chargehand.tools.sandbox.base import Ended, EndedBy

_SIGNAL_BASE = 128
_SIGXCPU = getattr(signal, "SIGXCPU", None)
_SIGKILL = 9
_LAST_SIGNAL = 64


def ended(attended: Attended, *, exit_code: int | None, out_of_memory: bool = False) -> Ended:
    """`exit_code` as the sandbox's own launcher tells it: 128 and more stands for a signal, as in a shell."""
    number = None
    if exit_code is not None and _SIGNAL_BASE < exit_code <= _SIGNAL_BASE + _LAST_SIGNAL:
        number = exit_code - _SIGNAL_BASE
    ended_by = EndedBy.EXIT if number is None else EndedBy.SIGNAL
    if number is not None and number == _SIGXCPU:
        ended_by = EndedBy.CPU
    killed_for = EndedBy.MEMORY if out_of_memory else attended.killed_for
    if killed_for is not None:
        ended_by = killed_for
        if attended.killed_for is not None:
            exit_code, number = (
                None,
                _SIGKILL,
            )
    return Ended(
        exit_code=exit_code,
        signal=number,
        ended_by=ended_by,
        stdout=attended.stdout,
        stderr=attended.stderr,
        dropped_bytes=attended.dropped_bytes,
        duration_seconds=attended.duration_seconds,
    )
