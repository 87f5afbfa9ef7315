"""Runs untrusted programs: an isolation from the machine (`isolation.py`), and a driver inside it.

A `Sandbox` is one driver process (`driver/`), started once, that forks a fresh process for each
test. This side is the trusted one: it holds the other ends of a program's pipes (`exchange.py`),
bounds what it reads of them, watches what all processes use (`watch.py`), and ends a driver that
does not answer (`started.py`). Limits of one test:

| limit           | by                                     | seen as                         |
|-----------------|----------------------------------------|---------------------------------|
| CPU time        | RLIMIT_CPU, and what is seen from here | `Outcome.cpu_s`                 |
| wall time       | the driver's clock, then this side's   | `timed_out`                     |
| address space   | RLIMIT_AS                              | `memory_exceeded`               |
| stdout          | this side's count of what it reads     | `output_exceeded`               |
| stderr, files   | RLIMIT_FSIZE, for each                 | `output_exceeded`               |
| memory of all   | this side's watch                      | `memory_exceeded`               |
| processes       | RLIMIT_NPROC, and the watch            | an error in the program         |
| open files      | RLIMIT_NOFILE                          | an error in the program         |
| network, pids   | namespaces                             | an error in the program         |
| everything else | read-only root, own folder             | an error in the program         |
"""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from valley.evaluate.exchange import Exchange
from valley.evaluate.isolation import Isolation
from valley.evaluate.nursery import Nursery
from valley.evaluate.outcome import Ended, Outcome, broke_its_sandbox, outcome_of
from valley.evaluate.seat import Seat
from valley.evaluate.started import SandboxError, Started

__all__ = [
    "GivenUp",
    "Outcome",
    "Run",
    "Sandbox",
    "SandboxError",
    "broke_its_sandbox",
]

ANSWER_MARGIN_S = 10.0
"""How long after the wall limit a driver is given up."""
OWN_CPU_S = 0.02
"""CPU time seen from outside that may be the driver's own, or the rounding of the kernel's clock."""
SPARE_CPU_S = 0.1
"""What a program has beyond its CPU limit before it is ended from here; RLIMIT_CPU has whole seconds."""
PROCESSES = 64
"""Processes and threads of one program at once."""
SPARE_PROCESSES = 160
"""The same where all that the user runs is counted: others' come and go, and `Watch` counts too."""


@dataclass(frozen=True)
class LcbRun:
    """All tests of a run in lcb mode: a descriptor of `lcb.pack_tests`, and the seconds for each.

    `packages` is the folder that NumPy is imported from, empty where there is none.
    """

    tests_fd: int
    tests_bytes: int
    timeout_s: int
    packages: str

    def words(self) -> tuple[str, ...]:
        """What a request says of it; a path could hold blanks."""
        packages = os.fsencode(self.packages).hex()
        return str(self.timeout_s), str(self.tests_bytes), packages


@dataclass(frozen=True)
class Run:
    """One program on one test. `function` is None where the program talks by stdin and stdout.

    With `lcb` the program runs on all those tests instead, `stdin` is not used, and the limits are
    those of the whole run.
    """

    source: str
    stdin: str
    function: str | None
    cpu_limit_s: float
    wall_limit_s: float
    memory_limit_mib: int
    output_limit_bytes: int
    lcb: LcbRun | None = None


class GivenUp(Exception):
    """The grading is being stopped: the program that was at work has no verdict."""


class Sandbox:
    """One driver, for one thread: it ends with the thread that started it."""

    def __init__(self, isolation: Isolation, nursery: Nursery | None = None) -> None:
        """Start the driver.

        Args:
            nursery: one of this isolation, which bears it in a tenth of the time.

        Raises:
            SandboxError: it could not be started.
        """
        self.usable = True
        """False once the driver does not answer, or a program left behind what cannot be removed:
        nothing more is run here."""
        self._driver = Started(isolation, nursery)
        self.layers = self._driver.layers
        """What is in force, in words."""
        self._processes = (
            PROCESSES if self._driver.counts_alone else _user_tasks() + SPARE_PROCESSES
        )

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the driver and all that runs in it, and remove its folder."""
        self.usable = False
        self._driver.close()

    def run(
        self, run: Run, seat: Seat | None = None, given_up: Callable[[], bool] = lambda: False
    ) -> Outcome:
        """Run one program on one test, and wait for its end.

        Args:
            seat: where to run it, if this thread has one.
            given_up: looked at every 20 ms; once it says so, nobody waits for the outcome any more.

        Raises:
            GivenUp: `given_up` said so; this sandbox is of no more use.
            SandboxError: the driver died or does not answer, or this sandbox is not `usable`; it is
                of no more use.
        """
        if not self.usable:
            raise SandboxError("a program before left it in a state that cannot be mended")
        source = run.source.encode(errors="surrogatepass")
        stdin = run.stdin.encode(errors="surrogatepass")
        cpu_s, memory_bytes = math.ceil(run.cpu_limit_s + 0.2), run.memory_limit_mib << 20
        request = (
            *(math.ceil(run.wall_limit_s * 1e3), len(source), cpu_s),
            *(memory_bytes, run.output_limit_bytes + 1, self._processes),
            run.function or "",
            *(run.lcb.words() if run.lcb else ()),
        )
        driver = self._driver
        watch = driver.watch(memory_bytes, run.cpu_limit_s + SPARE_CPU_S)

        def look() -> bool:
            if given_up():
                raise GivenUp
            if seat is not None:
                seat.leave(watch.threads)
            return watch.look()

        if seat is not None:
            seat.take(driver.pid)
        started = time.monotonic()
        try:
            with Exchange(source, stdin, run.output_limit_bytes, driver.owner) as exchange:
                fds = [*exchange.fds, *([run.lcb.tests_fd] if run.lcb else [])]
                line = " ".join(map(str, request)).encode()
                socket.send_fds(driver.control, [line], fds)
                self.usable = False  # until it has replied
                reply = exchange.attend(driver.control, run.wall_limit_s + ANSWER_MARGIN_S, look)
                outputs = exchange.outputs()
            wall_s = time.monotonic() - started
            if not reply:
                raise ConnectionError("the driver ended")
            status, timed_out, clean, told_s = reply.split(b" ")
            exit_code = os.waitstatus_to_exitcode(int(status))
            used_s = max(float(told_s), max(driver.used_s(), watch.cpu_s) - OWN_CPU_S)
        except (OSError, ValueError) as error:
            raise SandboxError(driver.fault(f"no answer ({error})")) from error
        self.usable = clean == b"1"
        ended = Ended(exit_code, timed_out == b"1", watch.exceeded, used_s, wall_s)
        return outcome_of(ended, outputs, run.output_limit_bytes)


def _user_tasks() -> int:
    """Threads that this user runs on this host: RLIMIT_NPROC counts all of them."""
    me, count = os.getuid(), 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid == me:
                count += sum(1 for _ in (process / "task").iterdir())
        except OSError:  # it has just ended
            continue
    return count
