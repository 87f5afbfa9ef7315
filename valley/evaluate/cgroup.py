"""A control group (version 2) for one sandbox: all its processes are counted and killed as one.

It can be had by root where version 2 is mounted, and by others where a part of the tree is theirs,
such as under systemd with Delegate=yes. Memory and the number of processes are bounded where those
controllers are enabled for the group; CPU time and the kill need none.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from pathlib import Path

_numbers = itertools.count()
REMOVAL_S = 2.0
MOST_TASKS = 256


class Cgroup:
    """A group of its own, removed by `close` with all that runs in it."""

    def __init__(self) -> None:
        """Make one, below or beside the group of this process.

        Raises:
            OSError: no place for it can be written.
        """
        self.folder = _made(f"valley-{os.getpid()}-{next(_numbers)}")
        self._usage = -1
        try:
            self._usage = os.open(self.folder / "cpu.stat", os.O_RDONLY)
            if not (self.folder / "cgroup.kill").exists():
                raise FileNotFoundError(f"{self.folder}: cgroup.kill is not offered (Linux 5.14)")
        except OSError:
            self.close()
            raise
        self._controllers = [n for n in ("memory", "pids") if (self.folder / f"{n}.max").exists()]
        self._memory_bytes = 0
        self.words = " with ".join(["cgroup", *self._controllers])

    def add(self, pid: int) -> None:
        """Take a process in, and all that it starts.

        Raises:
            OSError: that is not permitted.
        """
        (self.folder / "cgroup.procs").write_text(str(pid))

    def bound(self, memory_bytes: int) -> None:
        """Bound the memory of the whole, and its processes, where the controllers are enabled."""
        if not self._controllers or memory_bytes == self._memory_bytes:
            return
        self._memory_bytes = memory_bytes
        for name, value in (
            ("memory.max", memory_bytes),
            ("memory.swap.max", 0),
            ("pids.max", MOST_TASKS),
        ):
            with contextlib.suppress(OSError):
                (self.folder / name).write_text(str(value))

    def cpu_s(self) -> float:
        """CPU time that everything in it has used so far."""
        line = os.pread(self._usage, 64, 0).split(b"\n", 1)[0]
        return int(line.split()[1]) / 1e6

    def kill(self) -> None:
        """Kill all that is in it, at once."""
        with contextlib.suppress(OSError):
            (self.folder / "cgroup.kill").write_text("1")

    def close(self) -> None:
        """Kill all that is in it, and remove it."""
        self.kill()
        if self._usage >= 0:
            os.close(self._usage)
            self._usage = -1
        deadline = time.monotonic() + REMOVAL_S
        while True:
            try:
                self.folder.rmdir()
            except FileNotFoundError:
                return
            except OSError:
                if time.monotonic() > deadline:
                    return
                time.sleep(0.001)
            else:
                return


def _made(name: str) -> Path:
    mounted, own = _mount_point(), _own_group()
    if mounted is None or own is None:
        raise FileNotFoundError("no control groups of version 2 are mounted")
    here = mounted / own.lstrip("/")
    error: OSError = FileNotFoundError(f"{here} does not exist")
    for parent in (here, here.parent) if here != mounted else (here,):
        try:
            (parent / name).mkdir()
        except OSError as fault:
            error = fault
            continue
        _remove_forgotten(parent)
        return parent / name
    raise error


def _remove_forgotten(parent: Path) -> None:
    """Remove the empty groups of graders that were killed; one with processes in it stays."""
    for folder in parent.glob("valley-*"):
        if not Path("/proc", folder.name.split("-")[1]).exists():
            with contextlib.suppress(OSError):
                folder.rmdir()


def _mount_point() -> Path | None:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if right.split()[0] == "cgroup2":
            return Path(left.split()[4].replace("\\040", " "))
    return None


def _own_group() -> str | None:
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        if line.startswith("0::"):
            return line[3:]
    return None
