"""One grader on one set of programs, in a process tree of its own that is measured as a whole.

This process adopts what the tree leaves behind, so that all CPU time is counted, whoever waited for it,
and what still runs after the grader has ended is seen, counted and killed.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from valley.data.problems import Problem

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
PR_SET_CHILD_SUBREAPER = 36
SETTLE_S = 0.5
"""What the kernel and a grader's last children may take to end before they count as left behind."""
SAMPLE_S = 0.1

Program = tuple[Problem, str]


@dataclass(frozen=True)
class Grader:
    """A name, its family (see `agreement.py`), and how it is run."""

    name: str
    family: str
    command: tuple[str, ...]
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Round:
    """What became of one round. `seconds` is the grader's own work, `cpu_s` that of the whole tree.

    `memory_mib` holds the tree's proportional memory every 0.1 s, where that was asked for.
    """

    statuses: list[str]
    seconds: float
    cpu_s: float
    left_running: int
    memory_mib: list[float]


def valley_grader(name: str, family: str, **settings: Any) -> Grader:
    """Our grader with these settings of `GradeConfig`."""
    return Grader(name, family, (sys.executable, str(HERE / "grade_by_valley.py")), settings)


def lcb_grader(name: str, family: str, python: str, checkout: str | None = None) -> Grader:
    """LiveCodeBench's, as that interpreter or that checkout has it."""
    more = () if checkout is None else (checkout,)
    return Grader(name, family, (python, str(HERE / "grade_by_lcb.py"), *more))


def run_round(
    grader: Grader, programs: Sequence[Program], workers: int, *, watch_memory: bool = False
) -> Round:
    """Run a grader on programs.

    Raises:
        RuntimeError: it failed.
    """
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    with tempfile.TemporaryDirectory(prefix="valley-bench-") as temporary:
        asked, given = Path(temporary) / "round.json", Path(temporary) / "result.json"
        asked.write_text(json.dumps(_round(grader, programs, workers)), encoding="utf-8")
        script, *more = grader.command[1:]
        before_s = _children_cpu_s()
        process = subprocess.Popen(
            [grader.command[0], script, str(asked), str(given), *more],
            cwd=temporary,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        watch = _Watch(process.pid) if watch_memory else None
        assert process.stderr is not None
        said = process.stderr.read() if watch is None else watch.until_closed(process.stderr)
        process.wait()
        left = _end_leftovers()
        if process.returncode:
            raise RuntimeError(f"{grader.name} ended with {process.returncode}: {said[-2000:]}")
        result = json.loads(given.read_text(encoding="utf-8"))
    memory_mib = [] if watch is None else watch.memory_mib
    cpu_s = _children_cpu_s() - before_s
    return Round(result["statuses"], result["seconds"], cpu_s, left, memory_mib)


def _round(grader: Grader, programs: Sequence[Program], workers: int) -> dict[str, Any]:
    numbers: dict[int, int] = {}
    problems = []
    for problem, _ in programs:
        if id(problem) not in numbers:
            numbers[id(problem)] = len(problems)
            problems.append(asdict(problem))
    return {
        "problems": problems,
        "programs": [(numbers[id(problem)], code) for problem, code in programs],
        "settings": grader.settings,
        "workers": workers,
    }


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _end_leftovers() -> int:
    """Wait a moment for all children, then kill those that are left; how many that were."""
    deadline = time.monotonic() + SETTLE_S
    killed: set[int] = set()
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return len(killed)
        if time.monotonic() > deadline:
            for pid in _children(os.getpid()):
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        time.sleep(0.01)


def _children(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:  # it has just ended
        return []


class _Watch:
    """Adds up, every 0.1 s, the memory of a process and all below it; shared pages count in part."""

    def __init__(self, pid: int) -> None:
        self.memory_mib: list[float] = []
        self._pid = pid

    def until_closed(self, stream: Any) -> str:
        """Sample until the tree has closed a stream; returns what it wrote there."""
        parts: list[str] = []
        reader = threading.Thread(target=lambda: parts.append(stream.read()))
        reader.start()
        while reader.is_alive():
            self.memory_mib.append(sum(map(_memory_kib, _tree(self._pid))) / 1024)
            reader.join(SAMPLE_S)
        return parts[0]


def _tree(pid: int) -> list[int]:
    return [pid, *(below for child in _children(pid) for below in _tree(child))]


def _memory_kib(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except OSError:  # it has just ended
        pass
    return 0
