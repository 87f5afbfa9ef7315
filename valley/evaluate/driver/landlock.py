"""Landlock: which files may be read and written, and that no signal or socket leads out.

A first domain, the driver's, bounds what it and all programs may do. Each program then enters a
domain of its own below it (`shield`): from there it can neither trace the driver, write its memory
nor signal it, while the driver can still end the program.

What each kernel offers, by its ABI: 1 files and tracing (Linux 5.13), 2 links between folders, 3
truncation, 4 TCP, 5 devices' ioctl, 6 signals and abstract sockets (Linux 6.12).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable

from . import kernel

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1, 2, 4, 8, 1 << 14
_MAKE_CHAR = 1 << 6
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_TCP = 3
_SCOPES = 3
_MASKS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}


def version() -> int:
    """The kernel's Landlock ABI, 0 where it has none."""
    try:
        return kernel.call(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION)
    except OSError:
        return 0


def restrict(abi: int, readable: Iterable[str], writable: Iterable[str]) -> None:
    """Bound this process and all that comes from it; paths that do not exist are left out.

    Raises:
        OSError: the kernel refused.
    """
    files = _MASKS[min(abi, 5)]
    ruleset = _create(abi, files, _TCP)
    for paths, rights in ((readable, _READ), (writable, files & ~_EXECUTE)):
        for path in paths:
            _allow(ruleset, path, rights & files)
    enter(ruleset)
    os.close(ruleset)


def shield(abi: int) -> int:
    """The descriptor of a domain that a program enters: nothing is bounded but what it may reach."""
    return _create(abi, _MAKE_CHAR, 0)


def enter(ruleset: int) -> None:
    """Enter a domain, for good.

    Raises:
        OSError: the kernel refused.
    """
    kernel.call(_RESTRICT_SELF, ruleset, 0)


def _create(abi: int, files: int, network: int) -> int:
    fields = [files]
    if abi >= 4:
        fields.append(network)
    if abi >= 6:
        fields.append(_SCOPES)
    attributes = kernel.buffer(struct.pack(f"={len(fields)}Q", *fields))
    return kernel.call(_CREATE_RULESET, attributes, len(attributes), 0)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        beneath = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not os.path.isdir(path):
            rights &= _OF_FILES
        rule = kernel.buffer(struct.pack("=Qi", rights, beneath))
        kernel.call(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0)
    finally:
        os.close(beneath)
