"""What a sandbox uses, as seen from outside: no word of the driver or of a program is needed.

Each sweep reads /proc/<pid>/stat of the driver's descendants. RLIMIT_AS bounds one process; the sum
over all is bounded here. Memory that processes share is counted once for each in a first sum, which
is cheap; only where that is too much, the kernel's proportional sum decides.
"""

from __future__ import annotations

import contextlib
import os
import signal
from dataclasses import dataclass

PERIOD_S = 0.02
"""How often a program is looked at; most have ended before the first time."""
MOST_TASKS = 128
"""Processes and threads of a program at once, where RLIMIT_NPROC cannot count them alone."""
MOST_SWEEPS, MOST_FOUND = 50, 2048
FOLDER_FILES, FOLDER_BYTES, LOOKS_PER_FOLDER, LOOKS_BELIEVED = 20_000, 256 << 20, 5, 10
_PAGE, _TICK = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Task:
    """One process. `started` tells it from another that has its id later."""

    pid: int
    started: int
    threads: int
    cpu_ticks: int
    memory_bytes: int


class Watch:
    """Watches what comes from one driver during one run."""

    def __init__(
        self, driver: int, memory_bytes: int, cpu_s: float, folder: str | None = None
    ) -> None:
        """Nothing is read yet.

        Args:
            driver: its process id, as seen from here.
            memory_bytes: most that the program's processes may hold together.
            cpu_s: most CPU time that they may use together.
            folder: where they write, if no file system of its own bounds that.
        """
        self._driver = driver
        self._folder = folder
        self._looks = 0
        self._memory_bytes = self._believed_bytes = memory_bytes
        self._cpu_ticks = int(cpu_s * _TICK) + 1
        self._seen: dict[tuple[int, int], int] = {}
        self.exceeded = ""
        """What was too much: `memory`, `cpu`, `processes` or `files`; empty so far."""

    @property
    def cpu_s(self) -> float:
        """CPU time of all that was seen, those included that have ended since."""
        return sum(self._seen.values()) / _TICK

    def look(self) -> bool:
        """Sweep once, and kill the program where it has exceeded a bound; whether it has."""
        tasks = self._tasks()
        for task in tasks:
            self._seen[task.pid, task.started] = task.cpu_ticks
        if sum(task.threads for task in tasks) > MOST_TASKS:
            self.exceeded = "processes"
        elif sum(self._seen.values()) > self._cpu_ticks:
            self.exceeded = "cpu"
        elif self._too_large(tasks):
            self.exceeded = "memory"
        self._looks += 1
        if self._folder is not None and self._looks % LOOKS_PER_FOLDER == 0 and _full(self._folder):
            self.exceeded = "files"
        if self.exceeded:
            self._kill()
        return bool(self.exceeded)

    def threads(self) -> list[int]:
        """The threads of all that comes from the driver."""
        return [int(thread) for task in self._tasks() for thread in _threads(task.pid)]

    def _too_large(self, tasks: list[Task]) -> bool:
        """Whether they hold too much; the program stands still while that is counted exactly.

        What they then turn out to share is believed for as long as the cheap sum does not grow by
        what was left, and for a few looks: pages are shared until they are written.
        """
        rough = sum(task.memory_bytes for task in tasks)
        if rough <= self._memory_bytes:
            return False
        if rough <= self._believed_bytes and self._looks % LOOKS_BELIEVED:
            return False
        stopped = self._stop()
        held = sum(map(self._proportional, stopped))
        if held > self._memory_bytes:
            return True
        self._believed_bytes = rough + self._memory_bytes - held
        for task in stopped:
            _signal(task, signal.SIGCONT)
        return False

    def _proportional(self, task: Task) -> int:
        """Its memory, with what it shares divided by the number of those that share it."""
        try:
            with open(f"/proc/{task.pid}/smaps_rollup", "rb") as file:
                for line in file:
                    if line.startswith(b"Pss:"):
                        return int(line.split()[1]) << 10
        except OSError:  # it has ended, or the kernel does not let this user see it
            pass
        if _task(task.pid) is None or (driver := _task(self._driver)) is None:
            return 0
        return max(task.memory_bytes - driver.memory_bytes, 0)

    def kill_all(self) -> None:
        """Kill all that comes from the driver, and the driver last."""
        self._kill()
        if (driver := _task(self._driver)) is not None:
            _signal(driver, signal.SIGKILL)

    def _kill(self) -> None:
        """Kill what comes from the driver; what is stopped forks no more while it is killed."""
        for task in self._stop():
            _signal(task, signal.SIGKILL)

    def _stop(self) -> list[Task]:
        """Stop what comes from the driver until nothing new is found; returns all of it."""
        stopped: set[tuple[int, int]] = set()
        tasks: list[Task] = []
        for _ in range(MOST_SWEEPS):
            tasks = self._tasks()
            new = [task for task in tasks if (task.pid, task.started) not in stopped]
            if not new:
                break
            for task in new:
                _signal(task, signal.SIGSTOP)
                stopped.add((task.pid, task.started))
        return tasks

    def _tasks(self) -> list[Task]:
        found: list[Task] = []
        pids = _children(self._driver)
        while pids and len(found) < MOST_FOUND:
            pid = pids.pop()
            if (task := _task(pid)) is not None:
                found.append(task)
                pids += _children(pid)
        return found


def _full(folder: str) -> bool:
    """Whether a folder holds too much; what cannot be looked into is counted as empty."""
    count = size_bytes = 0
    folders = [folder]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                count += 1
                size_bytes += entry.stat(follow_symlinks=False).st_blocks * 512
                if count > FOLDER_FILES or size_bytes > FOLDER_BYTES:
                    return True
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
    return False


def used_s(stat: int) -> float:
    """CPU time of the children of a process that have ended, and of theirs, in steps of 10 ms.

    Args:
        stat: the open /proc/<pid>/stat of the process.
    """
    try:
        fields = os.pread(stat, 1024, 0).rpartition(b")")[2].split()
    except OSError:  # it has ended
        return 0.0
    return (int(fields[13]) + int(fields[14])) / _TICK


def _task(pid: int) -> Task | None:
    """A process that runs; None where it has ended."""
    if (fields := _stat(f"/proc/{pid}/stat")) is None:
        return None
    pages = int(fields[21])
    if fields[0] in (b"Z", b"X"):
        if fields[17] in (b"0", b"1"):
            return None
        # Its first thread has ended and the others run on: the memory is told by theirs.
        threads = (_stat(f"/proc/{pid}/task/{thread}/stat") for thread in _threads(pid))
        pages = max((int(thread[21]) for thread in threads if thread is not None), default=0)
    ticks = int(fields[11]) + int(fields[12])
    return Task(pid, int(fields[19]), int(fields[17]), ticks, pages * _PAGE)


def _stat(path: str) -> list[bytes] | None:
    """What follows a process's name, which may hold anything."""
    try:
        with open(path, "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except OSError:  # it has ended
        return None


def _threads(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for thread in _threads(pid):
        with (
            contextlib.suppress(OSError),
            open(f"/proc/{pid}/task/{thread}/children", "rb") as file,
        ):
            found += map(int, file.read().split())
    return found


def _signal(task: Task, number: int) -> None:
    """Send it a signal, and not another process that has its id by now."""
    try:
        held = os.pidfd_open(task.pid)
    except OSError:
        return
    try:
        now = _task(task.pid)
        if now is not None and now.started == task.started:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(held, number)
    finally:
        os.close(held)
