"""Landlock: from one call on, a process and its children open only the files that it was allowed.

What the kernel's version does not know yet is left out here and refused by the system call filter instead.
"""

import os

from . import kernel
from .forms import Form

# Landlock's rights on files, and the version that brought each of the later ones.
_EXECUTE, _WRITE, _READ, _READ_FOLDER = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_DEVICES = 1 << 6 | 1 << 11
_REFER, _TRUNCATE, _IOCTL_DEVICE = 1 << 13, 1 << 14, 1 << 15
_FIRST_RIGHTS = (1 << 13) - 1
_LATER_RIGHTS = ((2, _REFER), (3, _TRUNCATE), (5, _IOCTL_DEVICE))
_RIGHTS_OF_A_FILE = _EXECUTE | _WRITE | _READ | _TRUNCATE | _IOCTL_DEVICE

_CONNECT_AND_BIND = 0b11
_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11


def confine_files(form: Form, abi: int) -> None:
    """From here on only what the form names can be opened."""
    handled = _FIRST_RIGHTS
    for version, right in _LATER_RIGHTS:
        handled |= right if abi >= version else 0
    ruleset = kernel.landlock_create(
        handled,
        _CONNECT_AND_BIND if abi >= 4 else 0,
        _ABSTRACT_SOCKETS_AND_SIGNALS if abi >= 6 else 0,
        abi,
    )
    read = _EXECUTE | _READ | _READ_FOLDER
    for path in form["readable"]:
        _allow(ruleset, path, read)
    for path in form["devices"]:
        _allow(ruleset, path, (_READ | _WRITE | _TRUNCATE | _IOCTL_DEVICE) & handled)
    for path in form["writable"]:
        _allow(ruleset, path, handled & ~_MAKE_DEVICES & ~_IOCTL_DEVICE)
    kernel.landlock_restrict(ruleset)
    os.close(ruleset)


def _allow(ruleset: int, path: str, access: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        is_folder = os.stat(f"/proc/self/fd/{descriptor}").st_mode & 0o170000 == 0o040000  # noqa: PTH116 - see above
        kernel.landlock_allow(ruleset, access if is_folder else access & _RIGHTS_OF_A_FILE, descriptor)
    finally:
        os.close(descriptor)
