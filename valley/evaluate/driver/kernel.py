"""System calls that the standard library does not offer, by ctypes: for a driver's start only."""

from __future__ import annotations

import contextlib
import ctypes
import os

_LIBC = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWPID = 0x20000, 0x8000000, 0x20000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 1 << 14, 1 << 18
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_MNT_DETACH = 2


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def call(number: int, *arguments: int | bytes | ctypes.Array[ctypes.c_char] | None) -> int:
    """A system call by its number.

    Raises:
        OSError: it failed.
    """
    words = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _checked(_LIBC.syscall(ctypes.c_long(number), *words), f"system call {number}")


def prctl(option: int, argument: int = 0, address: int = 0) -> None:
    """prctl(2).

    Raises:
        OSError: it failed.
    """
    words = [ctypes.c_ulong(word) for word in (argument, address, 0, 0)]
    _checked(_LIBC.prctl(option, *words), f"prctl {option}")


def unshare(flags: int) -> None:
    """unshare(2).

    Raises:
        OSError: it failed.
    """
    _checked(_LIBC.unshare(flags), "unshare")


def setns(namespace: int, kind: int) -> None:
    """setns(2).

    Raises:
        OSError: it failed.
    """
    _checked(_LIBC.setns(namespace, kind), "setns")


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    """mount(2).

    Raises:
        OSError: it failed.
    """
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind)]
    done = _LIBC.mount(*texts, ctypes.c_ulong(flags), data.encode() or None)
    _checked(done, f"mount {kind or source or ''} on {target}")


def pivot_root_here(machine: str) -> None:
    """Make the working folder, a mount point, the root; nothing of the one before is left.

    Raises:
        OSError: it failed.
    """
    call(_PIVOT_ROOT[machine], b".", b".")
    _checked(_LIBC.umount2(b".", _MNT_DETACH), "umount2")
    os.chdir("/")


def drop_capabilities() -> None:
    """Hold no capability, in no set, and be given none by a program that is executed."""
    with contextlib.suppress(OSError):  # before Linux 4.3 there are none
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    with contextlib.suppress(OSError):  # not permitted, or the last that this kernel knows
        for number in range(64):
            prctl(PR_CAPBSET_DROP, number)
    header = ctypes.create_string_buffer((0x20080522).to_bytes(4, "little") + bytes(4), 8)
    _checked(_LIBC.capset(header, ctypes.create_string_buffer(24)), "capset")


def address(buffer: ctypes.Array[ctypes.c_char]) -> int:
    """Where a buffer lies, as a number for a structure that points to it."""
    return ctypes.addressof(buffer)


def buffer(content: bytes) -> ctypes.Array[ctypes.c_char]:
    """Memory with this content, that stays as long as it is referred to."""
    return ctypes.create_string_buffer(content, len(content))
