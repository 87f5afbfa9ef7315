"""Grades as LiveCodeBench does at commit 28fef95, verdict for verdict, for numbers to be compared.

This is the trusted side: it finds the program in an answer as upstream does, gives a sandbox the
program with all tests at once (`driver/lcb.py` runs and compares there), and reads what came of it.
Upstream's error codes become statuses, and stay in the verdict's note:

| code | upstream's meaning                         | status                                       |
|------|--------------------------------------------|----------------------------------------------|
| -2   | wrong answer                               | `wrong_answer`                               |
| -3   | the alarm of one test                      | `time_limit`                                 |
| -4   | an error of the program, or before it ran  | `runtime_error`, `memory_limit`,             |
|      |                                            | `syntax_error` where it cannot be parsed     |
| -5   | the process ended without a result, or was | `runtime_error`, or the limit that ended it  |
|      | killed after (timeout + 1) · tests + 5 s   |                                              |

(-1, a failure of all tests at the global limit, never leaves upstream's code: it becomes -5.)

A program that passes after something suspicious (`driver/cheats.py`) is run again in strict mode;
where it fails there, its verdict is still `passed`, as upstream's is, with a note `cheat: …`.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO

from valley.data.problems import Problem
from valley.evaluate.config import GradeConfig
from valley.evaluate.isolation import numpy_folders
from valley.evaluate.runners import Runners
from valley.evaluate.samples import Verdict
from valley.evaluate.sandbox import LcbRun, Outcome, Run, SandboxError

log = logging.getLogger(__name__)

WRONG, TIMEOUT, ERROR, RUNNER_ERROR = -2, -3, -4, -5
FENCE = "```"

_last = threading.local()
"""The problem that this thread graded last, and its tests: samples of one problem follow another."""


def extract_code(text: str) -> str:
    """The program of an answer: what stands between its last two lines with a fence, else nothing.

    >>> extract_code("So:\\n```python\\nprint(1)\\n```\\n")
    'print(1)'
    """
    lines = text.split("\n")
    fences = [i for i, line in enumerate(lines) if FENCE in line]
    return "\n".join(lines[fences[-2] + 1 : fences[-1]]) if len(fences) > 1 else ""


def check(
    problem: Problem,
    code: str | None,
    config: GradeConfig,
    runner: Runners,
    passes_strictly: Callable[[str], bool],
) -> Verdict:
    """Grade one program. The verdict's index is 0.

    Args:
        passes_strictly: whether a program passes where what is expected is out of its reach, so that
            it was honest.
    """
    if not code:  # upstream runs it, to the same end
        return _verdict(problem, "no_code", Told((), ERROR, "", (), 0), None)
    tests = _tests(problem)
    timeout_s, count = config.lcb_timeout_s, len(problem.tests)
    limit_s = float((timeout_s + 1) * count + 5)
    run = Run(
        source=code,
        stdin="",
        function=problem.function,
        # Upstream's limit on the clock, which the program's process keeps: a loop that survives its
        # alarms ends by this one, also on a busy machine, and a sleep by the one below.
        cpu_limit_s=limit_s,
        wall_limit_s=limit_s * config.wall_limit_factor,
        memory_limit_mib=problem.memory_limit_mib,
        output_limit_bytes=config.output_limit_kib << 10,
        lcb=LcbRun(
            tests.fileno(),
            os.fstat(tests.fileno()).st_size,
            timeout_s,
            next((str(folder.parent) for folder in numpy_folders()), ""),
        ),
    )
    try:
        outcome = runner.run(run)
    except SandboxError as error:
        log.error("problem %s: not graded: %s", problem.id, error)
        return _verdict(problem, "infrastructure_error", Told((), 0, "", (), 0), None)
    told = read_told(outcome.answer)
    status = _status(told, outcome, limit_s)
    if told.cheats and status == "passed" and passes_strictly(code):
        told = Told(told.right, told.code, told.kind, (), told.ran)
    return _verdict(problem, status, told, outcome)


def pack_tests(problem: Problem) -> bytes:
    """All tests of a problem: a line with the bytes of each text, then input, output, input, …"""
    texts = [
        test[side].encode(errors="surrogatepass")
        for test in problem.tests
        for side in ("input", "output")
    ]
    return b"".join([" ".join(str(len(text)) for text in texts).encode(), b"\n", *texts])


def _tests(problem: Problem) -> IO[bytes]:
    """A problem's packed tests in memory, for programs that may read but not change them."""
    import fcntl

    if getattr(_last, "problem", None) is not problem:
        _last.problem = _last.file = None
        file = os.fdopen(os.memfd_create("tests", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "wb")
        file.write(pack_tests(problem))
        file.flush()
        seals = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL
        fcntl.fcntl(file.fileno(), fcntl.F_ADD_SEALS, seals)
        _last.problem, _last.file = problem, file
    return _last.file


@dataclass(frozen=True)
class Told:
    """What the sandbox told: of each test that upstream has a result of, whether it is right.

    `code` is upstream's error code, 0 for none; `kind` is `memory`, `syntax` or nothing; `ran` is
    the number of tests that were seen to pass, also where there is no result.
    """

    right: tuple[bool, ...]
    code: int
    kind: str
    cheats: tuple[str, ...]
    ran: int


def read_told(answer: bytes | None) -> Told:
    """Read the result file; the first `result` and the first `code` count, as upstream's do."""
    right: tuple[bool, ...] | None = None
    code: tuple[int, str] | None = None
    cheats = []
    lines = (answer or b"").decode(errors="replace").split("\n")
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "cheat":
            cheats.append(rest)
        elif word == "result" and right is None:
            right = tuple(value == "1" for value in rest.split())
        elif word == "code" and code is None:
            number, _, kind = rest.partition(" ")
            code = (int(number) if number in ("0", "-2", "-3", "-4") else ERROR, kind)
    ran = sum(len(line) for line in lines if not line.strip("."))
    if right is None or code is None:
        return Told((), RUNNER_ERROR, "", tuple(cheats), ran)
    return Told(right, *code, tuple(cheats), ran)


def _status(told: Told, outcome: Outcome, limit_s: float) -> str:
    if told.code != RUNNER_ERROR and all(told.right):
        return "passed"
    late = outcome.timed_out or max(outcome.cpu_s, outcome.wall_s) > limit_s
    if told.code == TIMEOUT or (told.code == RUNNER_ERROR and late):
        return "time_limit"
    if told.kind == "memory" or (told.code == RUNNER_ERROR and outcome.memory_exceeded):
        return "memory_limit"
    if told.code == RUNNER_ERROR and outcome.output_exceeded:
        return "output_limit"
    if told.kind == "syntax":
        return "syntax_error"
    return "runtime_error" if told.code in (ERROR, RUNNER_ERROR) else "wrong_answer"


def _verdict(problem: Problem, status: str, told: Told, outcome: Outcome | None) -> Verdict:
    total, note = len(problem.tests), ""
    failing: int | None = None
    passed = total
    if status != "passed":
        note = f"lcb {told.code}" if told.code else ""
        wrong = told.right.index(False) if told.right else told.ran
        passed = min(wrong, total - 1)
        failing = passed if outcome is not None else None
    elif told.cheats:
        note = f"cheat: {', '.join(told.cheats)}"
    return Verdict(
        problem.id,
        0,
        status,
        failing,
        passed,
        total,
        round(outcome.cpu_s, 6) if outcome else 0.0,
        round(outcome.wall_s, 6) if outcome else 0.0,
        note,
    )
