"""Windows: a job object around this process and all that it starts. Written from its documentation, untried.

Rule: the job ends with its last handle, and this process holds the only one: whoever ends the runner ends the
command. The runner is in the job before the command exists, so that nothing can slip out in between.
"""

import ctypes
import os
import subprocess
import sys
import threading

from .forms import Form, decode

_EXTENDED_LIMITS = 9
_LIMIT_PROCESS_TIME, _LIMIT_ACTIVE, _LIMIT_DIE_QUIETLY = 0x2, 0x8, 0x400
_LIMIT_JOB_MEMORY, _LIMIT_KILL_ON_CLOSE = 0x200, 0x2000
_SYNCHRONIZE = 0x100000
_FOREVER = 0xFFFFFFFF
_TICKS_PER_SECOND = 10_000_000
NOT_STARTED = 127
NOT_LIMITED = 0xC0DE
"""The runner's exit code when the job could not be set up: then nothing was run."""


class BasicLimits(ctypes.Structure):
    """JOBOBJECT_BASIC_LIMIT_INFORMATION"""

    _fields_ = (
        ("process_time", ctypes.c_int64),
        ("job_time", ctypes.c_int64),
        ("flags", ctypes.c_uint32),
        ("minimum_working_set", ctypes.c_size_t),
        ("maximum_working_set", ctypes.c_size_t),
        ("active_processes", ctypes.c_uint32),
        ("affinity", ctypes.c_size_t),
        ("priority_class", ctypes.c_uint32),
        ("scheduling_class", ctypes.c_uint32),
    )


class ExtendedLimits(ctypes.Structure):
    """JOBOBJECT_EXTENDED_LIMIT_INFORMATION"""

    _fields_ = (
        ("basic", BasicLimits),
        ("io_counters", ctypes.c_uint64 * 6),
        ("process_memory", ctypes.c_size_t),
        ("job_memory", ctypes.c_size_t),
        ("peak_process_memory", ctypes.c_size_t),
        ("peak_job_memory", ctypes.c_size_t),
    )


def limits_of(form: Form) -> ExtendedLimits:
    """The runner itself is one of the job's processes, hence one more than the command may have."""
    flags = (
        _LIMIT_KILL_ON_CLOSE | _LIMIT_ACTIVE | _LIMIT_JOB_MEMORY | _LIMIT_PROCESS_TIME | _LIMIT_DIE_QUIETLY
    )
    limits = ExtendedLimits()
    limits.basic = BasicLimits(
        process_time=int(form["cpu_seconds"][0]) * _TICKS_PER_SECOND,
        flags=flags,
        active_processes=int(form["processes"][0]) + 1,
    )
    limits.job_memory = int(form["memory_bytes"][0])
    return limits


def main() -> None:
    """Arguments: the folder of this package's parent, the form's file, the service's process id."""
    with open(sys.argv[2], "rb") as file:  # noqa: PTH123 - as in the other runner
        form = decode(file.read())
    try:
        _join_job(limits_of(form))
        _end_with(int(sys.argv[3]))
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        os._exit(NOT_LIMITED)
    environment = dict(zip(form["names"], form["values"], strict=True))
    try:
        ended = subprocess.run(form["argv"], cwd=form["cwd"][0], env=environment, check=False)  # noqa: S603 - what the runner is for
    except OSError as error:
        sys.stderr.write(f"{form['argv'][0]}: {error.strerror}\n")
        os._exit(NOT_STARTED)
    # The handle of the job closes with this process: what the command left running ends here.
    os._exit(ended.returncode & 0xFFFFFFFF)


def _join_job(limits: ExtendedLimits) -> None:
    kernel32 = _kernel32()
    kernel32.CreateJobObjectW.restype = ctypes.c_void_p
    kernel32.GetCurrentProcess.restype = ctypes.c_void_p
    job = kernel32.CreateJobObjectW(None, None)
    size = ctypes.sizeof(limits)
    _checked(job, "CreateJobObject")
    done = kernel32.SetInformationJobObject(
        ctypes.c_void_p(job), _EXTENDED_LIMITS, ctypes.byref(limits), size
    )
    _checked(done, "SetInformationJobObject")
    own = ctypes.c_void_p(kernel32.GetCurrentProcess())
    _checked(kernel32.AssignProcessToJobObject(ctypes.c_void_p(job), own), "AssignProcessToJobObject")


def _end_with(service_pid: int) -> None:
    """Watch the service: when it is gone, so is the runner, and the job with it."""
    kernel32 = _kernel32()
    kernel32.OpenProcess.restype = ctypes.c_void_p
    service = kernel32.OpenProcess(_SYNCHRONIZE, 0, service_pid)
    _checked(service, "OpenProcess")

    def watch() -> None:
        kernel32.WaitForSingleObject(ctypes.c_void_p(service), _FOREVER)
        os._exit(NOT_STARTED)

    threading.Thread(target=watch, daemon=True).start()


def _kernel32() -> ctypes.CDLL:
    return ctypes.CDLL("kernel32")


def _checked(outcome: object, name: str) -> None:
    if not outcome:
        raise OSError(0, f"{name} failed")
