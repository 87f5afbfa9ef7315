"""Processes of this host, named so that a used-again process id is not mistaken for the old one."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from pathlib import Path
from typing import Any

STARTED = "started.json"
"""In a local submission's folder: the process of its first rank."""


def process_start(pid: int) -> str | None:
    """When a process of this host started, in the kernel's ticks since boot; None if there is none.

    With the process id it names a process for good: ids are used again, starts are not.
    """
    fields = _stat(Path(f"/proc/{pid}/stat"))
    return None if fields is None or fields[0] == "Z" else fields[19]


def children_of(pid: int) -> list[int]:
    """The processes of this host that this one started and that have not ended."""
    children = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        fields = _stat(stat)
        if fields is not None and int(fields[1]) == pid and fields[0] != "Z":
            children.append(int(stat.parent.name))
    return children


def _stat(path: Path) -> list[str] | None:
    """What follows a process's name; None where it has ended.

    The name may hold anything, also a part of a letter: the kernel cuts it after 15 bytes.
    """
    try:
        return path.read_bytes().rpartition(b")")[2].decode().split()
    except OSError:
        return None


def this_process() -> dict[str, Any]:
    """Host, process id and start of the calling process."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "start": process_start(pid)}


def is_alive(who: dict[str, Any]) -> bool | None:
    """Whether a process that `this_process` described still lives; None if it is another host's."""
    if who.get("host") != socket.gethostname():
        return None
    pid = who.get("pid")
    start = process_start(pid) if isinstance(pid, int) else None
    return start is not None and start == who.get("start")


def runs_with(*arguments: str) -> bool:
    """Whether a process of this host was started with these very arguments, among others."""
    wanted = {argument.encode() for argument in arguments}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has just ended, or is not ours to see
            if wanted <= set(path.read_bytes().split(b"\0")):
                return True
    return False


def has_live_task(folder: Path) -> bool:
    """Whether the first rank of a local submission is alive on this machine."""
    try:
        who = json.loads((folder / STARTED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(is_alive(who))
