"""Builds seccomp filters as BPF bytes, with no C library.

Rule: rules are tried in order and the first that matches decides; what no rule names is allowed. Calls
through another architecture's entry (32-bit, x32) are refused, because their numbers mean other calls.
"""

import errno
import platform
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from chargehand.tools.sandbox.seccomp_table import ARCHITECTURES, syscall_number

_AUDIT_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16

ALLOW = 0x7FFF0000
ASK_SUPERVISOR = 0x7FC00000


def refuse(error_number: int) -> int:
    """The action that makes the call fail with this errno."""
    return 0x00050000 | error_number


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """A test of the low 32 bits of one argument, which is all that the kernel reads of an `int`."""

    index: int
    mask: int = 0xFFFFFFFF
    one_of: tuple[int, ...] = ()
    none_of: tuple[int, ...] = ()
    """At most one of the two is given. With neither, the test matches when any bit of the mask is set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What happens to one system call, always or where an argument matches."""

    syscall: str
    action: int
    where: Argument | None = None


def host_architecture() -> str:
    """This machine's name in `ARCHITECTURES`, or what it calls itself when it is none of them."""
    machine = platform.machine().lower()
    return {"amd64": "x86_64", "arm64": "aarch64"}.get(machine, machine)


def build_filter(rules: Sequence[Rule], architecture: str) -> bytes:
    """The program as an array of `struct sock_filter`, ready for the kernel or for bubblewrap."""
    if architecture not in ARCHITECTURES:
        raise ValueError(f"no system call table for {architecture!r}; there are: {', '.join(ARCHITECTURES)}")
    program = [
        _op(_LOAD, _ARCHITECTURE_AT),
        _op(_JUMP_EQUAL, _AUDIT_ARCHITECTURE[architecture], if_true=1),
        _op(_RETURN, refuse(errno.ENOSYS)),
        _op(_LOAD, _NUMBER_AT),
        _op(_JUMP_AT_LEAST, _X32_BIT, if_false=1),
        _op(_RETURN, refuse(errno.ENOSYS)),
    ]
    for rule in rules:
        number = syscall_number(rule.syscall, architecture)
        if number is not None:
            body = _body(rule)
            program += [_op(_JUMP_EQUAL, number, if_false=len(body)), *body]
    program.append(_op(_RETURN, ALLOW))
    return b"".join(program)


def _body(rule: Rule) -> list[bytes]:
    decide = _op(_RETURN, rule.action)
    where = rule.where
    if where is None:
        return [decide]
    load = [_op(_LOAD, _ARGUMENTS_AT + 8 * where.index)]
    load_number_again = _op(_LOAD, _NUMBER_AT)
    values = where.one_of or where.none_of
    if not values:
        return [*load, _op(_JUMP_ANY_BIT, where.mask, if_false=1), decide, load_number_again]
    if where.mask != 0xFFFFFFFF:
        load.append(_op(_AND, where.mask))
    # With `none_of` a hit jumps over the decision; with `one_of` the last miss does.
    last = len(values) - 1
    tests = [
        _op(
            _JUMP_EQUAL,
            value,
            if_true=last - place + (0 if where.one_of else 1),
            if_false=1 if where.one_of and place == last else 0,
        )
        for place, value in enumerate(values)
    ]
    return [*load, *tests, decide, load_number_again]


def _op(code: int, operand: int, *, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, operand)
