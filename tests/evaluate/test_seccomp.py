"""The filter, run step by step as the kernel would: also for a machine that is not this one."""

import errno
import struct

import pytest

from valley.evaluate.driver import seccomp

ALLOWED = 0
WORD = 1 << 32


def verdict(machine, number, *arguments, architecture=None, alone=True):
    """The error that a call is refused with, 0 where it is allowed."""
    words = [word for a in (*arguments, *[0] * 6)[:6] for word in (a % WORD, (a >> 32) % WORD)]
    architecture = architecture or {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}[machine]
    data = struct.pack("=IIQ12I", number, architecture, 0, *words)
    steps = list(struct.iter_unpack("=HBBI", seccomp.program(machine, alone)))
    at = value = 0
    while True:
        code, if_true, if_false, operand = steps[at]
        at += 1
        if code == 0x20:
            (value,) = struct.unpack_from("=I", data, operand)
        elif code == 0x54:
            value &= operand
        elif code == 0x06:
            return operand & 0xFFFF if operand >> 16 == 5 else ALLOWED
        else:
            holds = {0x15: value == operand, 0x35: value >= operand, 0x45: value & operand}[code]
            at += if_true if holds else if_false


# name: (on x86_64, on aarch64)
USED = {"read": (0, 63), "mmap": (9, 222), "execve": (59, 221), "wait4": (61, 260), "pipe2": (293, 59),
        "exit_group": (231, 94), "futex": (202, 98), "clock_gettime": (228, 113), "recvmsg": (47, 212),
        "openat": (257, 56), "getrandom": (318, 278), "restrict_self": (446, 446)}  # fmt: skip


@pytest.mark.parametrize("column", [0, 1])
def test_what_python_uses_is_let_through(column):
    machine = ("x86_64", "aarch64")[column]
    for name, numbers in USED.items():
        assert verdict(machine, numbers[column]) == ALLOWED, name


@pytest.mark.parametrize("column", [0, 1])
def test_what_is_listed_is_refused(column):
    machine = ("x86_64", "aarch64")[column]
    refused = {numbers[column] for numbers in seccomp.REFUSED.values() if numbers[column]}
    for number in refused:
        assert verdict(machine, number) == errno.EPERM
    assert not refused & {numbers[column] for numbers in USED.values()}


@pytest.mark.parametrize(
    ("numbers", "arguments", "refused"),
    [
        ((56, 220), (17,), ALLOWED),  # fork
        ((56, 220), (0x3D0F00,), ALLOWED),  # a thread
        ((56, 220), (0x10000000 | 17,), errno.EPERM),
        ((56, 220), (0x40000000 | 17,), errno.EPERM),
        ((435, 435), (), errno.ENOSYS),
        ((302, 261), (0, 7), ALLOWED),
        ((302, 261), (1, 7), errno.EPERM),
        ((141, 140), (0, 0, 5), ALLOWED),
        ((141, 140), (0, 9, 5), errno.EPERM),
        ((141, 140), (2, 0, 5), errno.EPERM),
        ((53, 199), (1, 1), ALLOWED),
        ((53, 199), (1, 0x80801), ALLOWED),
        ((53, 199), (1, 2), errno.EPERM),
        ((53, 199), (2, 1), errno.EPERM),
        ((44, 206), (3, 99, 5, 0, 0), ALLOWED),
        ((44, 206), (3, 99, 5, 0, 0x7F), errno.EPERM),
        ((44, 206), (3, 99, 5, 0, 0x7F << 32), errno.EPERM),
        ((16, 29), (0, 0x5401), ALLOWED),
        ((16, 29), (0, 0x5412), errno.EPERM),
        ((62, 129), (-1, 9), ALLOWED),
        ((999, 999), (), errno.ENOSYS),
        ((0x40000000, 0x40000000), (), errno.ENOSYS),
    ],
)
@pytest.mark.parametrize("column", [0, 1])
def test_arguments(numbers, arguments, refused, column):
    assert verdict(("x86_64", "aarch64")[column], numbers[column], *arguments) == refused


@pytest.mark.parametrize(("machine", "kill"), [("x86_64", 62), ("aarch64", 129)])
def test_a_signal_to_all_is_refused_beside_others(machine, kill):
    assert verdict(machine, kill, -1, 9, alone=False) == errno.EPERM
    assert verdict(machine, kill, 7, 9, alone=False) == ALLOWED


def test_another_architecture_has_no_calls():
    assert verdict("x86_64", 0, architecture=0x40000003) == errno.ENOSYS
