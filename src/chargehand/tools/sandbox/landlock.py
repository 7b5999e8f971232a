"""Asks the kernel for its version of Landlock."""

import ctypes
import sys

_CREATE_RULESET = 444
_ASK_FOR_VERSION = 1


def landlock_abi() -> int:
    """0 where there is none: another system, an older kernel, or one that has it switched off."""
    if not sys.platform.startswith("linux"):
        return 0
    syscall = ctypes.CDLL(None).syscall
    syscall.restype = ctypes.c_long
    return max(0, syscall(ctypes.c_long(_CREATE_RULESET), None, ctypes.c_size_t(0), _ASK_FOR_VERSION))
