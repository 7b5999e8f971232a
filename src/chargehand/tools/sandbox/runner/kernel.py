"""The few Linux calls that Python has no function for, by ctypes.

Rule: each raises OSError with the kernel's errno; none returns -1.
"""

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long

_SECCOMP = {"x86_64": 317, "aarch64": 277}
_CAPSET = {"x86_64": 126, "aarch64": 91}
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_PIDFD_GETFD = 438

_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_SET_CHILD_SUBREAPER = 1, 24, 38, 36
_SECCOMP_SET_MODE_FILTER, _SECCOMP_NEW_LISTENER = 1, 8
_CAPABILITY_VERSION_3 = 0x20080522
_LAST_CAPABILITY = 63
_SIGKILL, _SIGPIPE, _SIGXFSZ = 9, 13, 25


def landlock_create(handled_files: int, handled_network: int, scoped: int, abi: int) -> int:
    """A new ruleset; the older the version, the shorter the structure that the kernel accepts."""
    attributes = b"".join(value.to_bytes(8, "little") for value in (handled_files, handled_network, scoped))
    size = 8 if abi < 4 else 16 if abi < 6 else 24
    return _syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(size), 0)


def landlock_allow(ruleset: int, access: int, folder: int) -> None:
    """Allow access to an opened file or all below an opened folder."""
    attributes = access.to_bytes(8, "little") + folder.to_bytes(4, "little", signed=True)
    _syscall(_LANDLOCK_ADD, ruleset, 1, attributes, 0)


def landlock_restrict(ruleset: int) -> None:
    _syscall(_LANDLOCK_RESTRICT, ruleset, 0)


def install_filter(program: bytes) -> int:
    """Put the filter on this process for good; gives the descriptor at which its questions are answered."""

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))

    given = Program(len(program) // 8, program)
    number = _SECCOMP[os.uname().machine]
    return _syscall(number, _SECCOMP_SET_MODE_FILTER, _SECCOMP_NEW_LISTENER, ctypes.byref(given))


def hear_all_signals() -> None:
    """Undo that Python ignores two signals, which a command would inherit (also on macOS)."""
    # Not by the module `signal`: its enumerations cost the runner 3 ms.
    for number in (_SIGPIPE, _SIGXFSZ):
        _libc.signal(number, None)


def become_subreaper() -> None:
    """Orphans below this process become its children instead of init's."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    _prctl(_PR_SET_PDEATHSIG, _SIGKILL)


def give_up_privileges() -> None:
    """No capability is left, and none comes back with a later program, set-user-id ones included."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    for capability in range(_LAST_CAPABILITY + 1):
        try:
            _prctl(_PR_CAPBSET_DROP, capability)
        except OSError:
            break  # past the kernel's last one, or not privileged: then there is nothing to drop
    header = _CAPABILITY_VERSION_3.to_bytes(4, "little") + bytes(4)
    _syscall(_CAPSET[os.uname().machine], header, bytes(24))


def take_descriptor(pidfd: int, descriptor: int) -> int:
    """Another process's open file as a descriptor of ours."""
    return _syscall(_PIDFD_GETFD, pidfd, descriptor, 0)


def connect(descriptor: int, address: bytes) -> None:
    _checked(_libc.connect(descriptor, address, len(address)))


def bind(descriptor: int, address: bytes) -> None:
    _checked(_libc.bind(descriptor, address, len(address)))


def listen(descriptor: int, backlog: int) -> None:
    _checked(_libc.listen(descriptor, backlog))


def _prctl(option: int, value: int) -> None:
    zero = ctypes.c_ulong(0)
    _checked(_libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero))


def _syscall(number: int, *arguments: object) -> int:
    return _checked(_libc.syscall(ctypes.c_long(number), *arguments))


def _checked(outcome: int) -> int:
    if outcome < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return outcome
