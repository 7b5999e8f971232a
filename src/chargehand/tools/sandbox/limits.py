"""Resource limits of single processes, set on a process that has not started its command yet (Linux)."""

import os
import platform

from chargehand.tools.sandbox.base import SandboxLimits

if os.name == "posix":
    import resource
else:
    resource = None

_CPU_GRACE_SECONDS = 2
"""Between the signal that a program may catch and the one that it may not."""


def process_limits(limits: SandboxLimits, *, count_processes: bool) -> dict[str, tuple[int, int]]:
    """Soft and hard limit by the name that the `resource` module has for it."""
    chosen = {
        "RLIMIT_CPU": (limits.cpu_seconds, limits.cpu_seconds + _CPU_GRACE_SECONDS),
        "RLIMIT_FSIZE": (limits.file_bytes, limits.file_bytes),
        "RLIMIT_NOFILE": (limits.open_files, limits.open_files),
        "RLIMIT_CORE": (0, 0),
        # Not RLIMIT_AS, which fails runtimes that only reserve address space (Java, Node, Go).
        "RLIMIT_DATA": (limits.memory_bytes, limits.memory_bytes),
    }
    if count_processes:
        chosen["RLIMIT_NPROC"] = (limits.processes, limits.processes)
    return chosen


def processes_are_counted_by_namespace() -> bool:
    """Whether RLIMIT_NPROC counts inside a user namespace: Linux 5.14 on, and never for root."""
    version = platform.release().split(".")[:2]
    numbers = tuple(int("".join(filter(str.isdigit, part)) or 0) for part in version)
    return os.name == "posix" and os.getuid() != 0 and numbers >= (5, 14)


def limit_other_process(pid: int, chosen: dict[str, tuple[int, int]]) -> None:
    """Set the limits of another process of ours; its later children inherit them."""
    if resource is None:
        raise OSError("this system has no resource limits")
    for name, (soft, hard) in chosen.items():
        kind = getattr(resource, name)
        _, ceiling = resource.prlimit(pid, kind)
        bound = hard if ceiling == resource.RLIM_INFINITY else min(hard, ceiling)
        resource.prlimit(pid, kind, (min(soft, bound), bound))
