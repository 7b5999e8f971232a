"""The filters' decisions, for both architectures, by carrying the programs out instruction by instruction."""

import errno
import struct

import pytest

from chargehand.tools.sandbox.seccomp import (
    ALLOW,
    ASK_SUPERVISOR,
    Argument,
    Rule,
    build_filter,
    host_architecture,
    refuse,
)
from chargehand.tools.sandbox.seccomp_profiles import namespaced_rules, supervised_rules
from chargehand.tools.sandbox.seccomp_table import ARCHITECTURES, SYSCALLS, syscall_number

AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
READ = {"x86_64": 0, "aarch64": 63}


def decide(program: bytes, architecture: int, number: int, *arguments: int) -> int:
    """What the kernel would do with a call."""
    padded = [argument & 0xFFFFFFFFFFFFFFFF for argument in (*arguments, 0, 0, 0, 0, 0, 0)[:6]]
    data = struct.pack("<IIQ6Q", number, architecture, 0, *padded)
    instructions = list(struct.iter_unpack("=HBBI", program))
    accumulator, position = 0, 0
    while True:
        code, if_true, if_false, operand = instructions[position]
        position += 1
        match code:
            case 0x20:
                accumulator = int.from_bytes(data[operand : operand + 4], "little")
            case 0x54:
                accumulator &= operand
            case 0x15:
                position += if_true if accumulator == operand else if_false
            case 0x35:
                position += if_true if accumulator >= operand else if_false
            case 0x45:
                position += if_true if accumulator & operand else if_false
            case 0x06:
                return operand
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")


@pytest.fixture(params=ARCHITECTURES)
def architecture(request: pytest.FixtureRequest) -> str:
    return request.param


def test_what_no_rule_names_is_allowed(architecture: str) -> None:
    program = build_filter(namespaced_rules(memory_is_counted=False), architecture)

    assert decide(program, AUDIT[architecture], READ[architecture], 0, 0, 10) == ALLOW


def test_calls_through_another_architecture_or_x32_are_refused(architecture: str) -> None:
    program = build_filter([], architecture)

    assert decide(program, 0x40000003, 3) == refuse(errno.ENOSYS)
    assert decide(program, AUDIT[architecture], 0x40000000 | 1) == refuse(errno.ENOSYS)


def test_an_argument_of_one_of_some_values_is_matched(architecture: str) -> None:
    rule = Rule(syscall="ioctl", action=refuse(1), where=Argument(index=1, one_of=(5, 7)))
    program = build_filter([rule, Rule(syscall="bpf", action=refuse(2))], architecture)
    ioctl, bpf = (syscall_number(name, architecture) or 0 for name in ("ioctl", "bpf"))

    found = [decide(program, AUDIT[architecture], ioctl, 0, value) for value in (4, 5, 6, 7, 5 | 1 << 32)]

    assert found == [ALLOW, refuse(1), ALLOW, refuse(1), refuse(1)]
    assert decide(program, AUDIT[architecture], bpf) == refuse(2)


def test_an_argument_of_none_of_some_values_is_matched_under_its_mask(architecture: str) -> None:
    rule = Rule(syscall="socket", action=refuse(1), where=Argument(index=1, mask=0xF, none_of=(1, 5)))
    program = build_filter([rule, Rule(syscall="socket", action=refuse(2))], architecture)
    number = syscall_number("socket", architecture) or 0

    found = [decide(program, AUDIT[architecture], number, 2, value) for value in (1, 2, 5, 0x80000 | 1)]

    # Where the first rule does not match, the second one still sees the call's number.
    assert found == [refuse(2), refuse(1), refuse(2), refuse(2)]


def test_new_namespaces_are_refused_and_new_processes_are_not(architecture: str) -> None:
    program = build_filter(namespaced_rules(memory_is_counted=True), architecture)
    clone = syscall_number("clone", architecture) or 0

    assert decide(program, AUDIT[architecture], clone, 17) == ALLOW
    for flag in (0x20000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert decide(program, AUDIT[architecture], clone, flag | 17) == refuse(errno.EPERM)


def test_without_namespaces_addresses_and_births_are_asked_about(architecture: str) -> None:
    program = build_filter(supervised_rules(landlock_abi=7, memory_is_counted=True), architecture)

    for name in ("connect", "bind", "listen", "fchmodat", "clone"):
        number = syscall_number(name, architecture) or 0
        assert decide(program, AUDIT[architecture], number, 3, 0, 0) == ASK_SUPERVISOR, name


def test_without_namespaces_only_streams_are_left(architecture: str) -> None:
    program = build_filter(supervised_rules(landlock_abi=7, memory_is_counted=True), architecture)
    number = syscall_number("socket", architecture) or 0

    def made(family: int, kind: int, protocol: int = 0) -> int:
        return decide(program, AUDIT[architecture], number, family, kind, protocol)

    assert [made(1, 1), made(2, 1), made(10, 1 | 0x80000, 6)] == [ALLOW] * 3
    assert made(2, 2) == made(1, 2) == made(2, 3) == made(2, 1, 132) == refuse(errno.EPROTONOSUPPORT)
    assert made(16, 3) == made(40, 1) == refuse(errno.EAFNOSUPPORT)


@pytest.mark.parametrize(("abi", "is_asked"), [(5, True), (6, False)])
def test_signals_are_asked_about_where_landlock_does_not_know_them(
    architecture: str, abi: int, is_asked: bool
) -> None:
    program = build_filter(supervised_rules(landlock_abi=abi, memory_is_counted=True), architecture)
    number = syscall_number("kill", architecture) or 0

    assert decide(program, AUDIT[architecture], number, 1, 9) == (ASK_SUPERVISOR if is_asked else ALLOW)


def test_no_two_calls_have_the_same_number() -> None:
    for column, name in enumerate(ARCHITECTURES):
        numbers = [numbers[column] for numbers in SYSCALLS.values() if numbers[column] is not None]
        assert len(numbers) == len(set(numbers)), name


def test_an_unknown_architecture_is_named() -> None:
    with pytest.raises(ValueError, match="riscv64"):
        build_filter([], "riscv64")


def test_this_machine_has_a_known_name() -> None:
    assert host_architecture() == host_architecture().lower()
