"""A seccomp filter: the system calls that no program of a competition needs are refused.

Each is refused with an error and not with death, since libraries try and do without. What Python
itself uses is let through, with four limits on arguments: no new namespaces, no limits or
priorities of other processes, no sockets but connected pairs, no input typed into a terminal.
"""

from __future__ import annotations

import errno
import functools
import struct

from . import kernel

_SECCOMP = {"x86_64": 317, "aarch64": 277}
_SET_MODE_FILTER, _SPEC_ALLOW = 1, 4
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_NEW_NAMESPACES = 0x7E020000
_NEWEST = 470
"""Calls from this number on are newer than this list, and absent as they are on an older kernel."""

REFUSED: dict[str, tuple[int, int]] = {
    # tracing, and other processes' memory and descriptors
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    "process_mrelease": (448, 448), "move_pages": (279, 239), "migrate_pages": (256, 238),
    # namespaces and mounts
    "unshare": (272, 97), "setns": (308, 268), "mount": (165, 40), "umount2": (166, 39),
    "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "open_tree_attr": (467, 467), "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264), "statmount": (457, 457), "listmount": (458, 458),
    # large parts of the kernel
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "io_setup": (206, 0), "fanotify_init": (300, 262),
    # what would stay when the program has ended, for the next one or for ever
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "msgget": (68, 186),
    "msgsnd": (69, 189), "msgrcv": (70, 188), "msgctl": (71, 187), "semget": (64, 190),
    "semop": (65, 193), "semctl": (66, 191), "semtimedop": (220, 192), "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    # memory that RLIMIT_AS does not count
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "vmsplice": (278, 75),
    # the machine
    "kexec_load": (246, 104), "kexec_file_load": (320, 294), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "reboot": (169, 142),
    "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "quotactl": (179, 60),
    "quotactl_fd": (443, 443), "syslog": (103, 116), "sethostname": (170, 161),
    "setdomainname": (171, 162), "settimeofday": (164, 170), "adjtimex": (159, 171),
    "clock_settime": (227, 112), "clock_adjtime": (305, 266), "vhangup": (153, 58),
    "lookup_dcookie": (212, 18), "nfsservctl": (180, 42), "sync": (162, 81), "syncfs": (306, 267),
    "personality": (135, 92), "iopl": (172, 0), "ioperm": (173, 0), "modify_ldt": (154, 0),
    "uselib": (134, 0), "sysfs": (139, 0), "_sysctl": (156, 0), "ustat": (136, 0),
    # priorities, which also reach other processes
    "ioprio_set": (251, 30), "sched_setattr": (314, 274), "sched_setparam": (142, 118),
    # sockets with a name
    "socket": (41, 198), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
}  # fmt: skip
"""Numbers on x86_64 and aarch64; 0 where a call is let through or does not exist."""
_CLONE3 = 435
_NUMBERS = {
    "clone": (56, 220), "prlimit64": (302, 261), "sched_setaffinity": (203, 122),
    "sched_setscheduler": (144, 119), "setpriority": (141, 140), "socketpair": (53, 199),
    "sendto": (44, 206), "ioctl": (16, 29), "kill": (62, 129),
}  # fmt: skip
_TYPING = (0x5412, 0x541C, 0x5423)
"""TIOCSTI, TIOCLINUX and TIOCSETD."""
_STREAM, _SEQPACKET, _UNIX = 1, 5, 1


def _step(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, operand & 0xFFFFFFFF)


def _refuse(number: int) -> bytes:
    return _step(_RETURN, _ERROR | number)


@functools.cache
def program(machine: str, alone: bool) -> bytes:
    """The filter, as instructions of classic BPF.

    Args:
        machine: `x86_64` or `aarch64`.
        alone: whether every process that a signal to -1 reaches is the driver's.
    """
    column = list(_ARCHITECTURE).index(machine)
    steps = [
        _step(_LOAD, _ARCHITECTURE_AT),
        _step(_EQUAL, _ARCHITECTURE[machine], 1),
        _refuse(errno.ENOSYS),
        _step(_LOAD, _NUMBER_AT),
        _step(_AT_LEAST, _NEWEST, 0, 1),
        _refuse(errno.ENOSYS),  # and x86's x32 calls, from _X32_BIT on
        _step(_EQUAL, _CLONE3, 0, 1),
        _refuse(errno.ENOSYS),  # its flags cannot be seen: C libraries fall back on clone
    ]
    for numbers in REFUSED.values():
        if numbers[column]:
            steps += [_step(_EQUAL, numbers[column], 0, 1), _refuse(errno.EPERM)]
    for name, checks in _checks(alone).items():
        body = b"".join(checks)
        length = len(body) // 8
        steps.append(_step(_EQUAL, _NUMBERS[name][column], 0, length + 1))
        steps += [body, _step(_RETURN, _ALLOW)]
    steps.append(_step(_RETURN, _ALLOW))
    return b"".join(steps)


def _checks(alone: bool) -> dict[str, list[bytes]]:
    """For each call, steps that return an error or go on to its being allowed."""
    own = _must_be(0, 0)
    checks = {
        "clone": [_argument(0), _step(_ANY_BIT, _NEW_NAMESPACES, 0, 1), _refuse(errno.EPERM)],
        "prlimit64": own,
        "sched_setaffinity": own,
        "sched_setscheduler": own,
        "setpriority": [*own, *_must_be(1, 0)],
        "socketpair": [
            *_must_be(0, _UNIX),
            _argument(1),
            _step(_AND, 0xF),
            _step(_EQUAL, _STREAM, 2),
            _step(_EQUAL, _SEQPACKET, 1),
            _refuse(errno.EPERM),
        ],
        "sendto": [*_must_be(4, 0), _argument(4, high=True), _step(_EQUAL, 0, 1)],
        "ioctl": [_argument(1)],
    }
    checks["sendto"].append(_refuse(errno.EPERM))
    for request in _TYPING:
        checks["ioctl"] += [_step(_EQUAL, request, 0, 1), _refuse(errno.EPERM)]
    if not alone:
        checks["kill"] = [_argument(0), _step(_EQUAL, -1, 0, 1), _refuse(errno.EPERM)]
    return checks


def _must_be(position: int, value: int) -> list[bytes]:
    return [_argument(position), _step(_EQUAL, value, 1), _refuse(errno.EPERM)]


def _argument(position: int, high: bool = False) -> bytes:
    return _step(_LOAD, _ARGUMENTS_AT + 8 * position + 4 * high)


def prepare(machine: str, alone: bool) -> None:
    """Build the filter before it is needed, once for all that this process forks."""
    if machine in _ARCHITECTURE:
        program(machine, alone)


def install(machine: str, alone: bool) -> bool:
    """Install the filter for this process and all that comes from it; whether that could be done."""
    if machine not in _ARCHITECTURE:
        return False
    instructions = kernel.buffer(program(machine, alone))
    head = kernel.buffer(struct.pack("=H6xQ", len(instructions) // 8, kernel.address(instructions)))
    for flags in (_SPEC_ALLOW, 0):  # before Linux 4.17 there is no such flag
        try:
            kernel.call(_SECCOMP[machine], _SET_MODE_FILTER, flags, head)
            return True
        except OSError:
            continue
    return False
