"""A seat: the one CPU that a worker, its driver and its programs share while tests are short.

They take turns: each writes to the next and waits for it. Where the kernel wakes the next on another
CPU, that hand-over costs as much as a small test does (measured on 2 cores: 1.35 times as many tests a
second on one CPU). So a test runs where the kernel puts it, and those after it, for a quarter of a
second, on the same CPU; then the kernel is asked again, which knows what else is at work. A test that
takes longer than that a look at it is due (`watch.PERIOD_S`) has its CPU no longer prescribed: a
program may have several processes, and another may be at work there.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from collections.abc import Callable, Iterable

HELD_S = 0.25


class Seat:
    """For the thread that makes it, and one driver at a time."""

    def __init__(self) -> None:
        """Nothing is prescribed yet, and not after a long test either."""
        self._all = frozenset(os.sched_getaffinity(0))
        self._cpus, self._driver = self._all, -1
        self._until = 0.0
        self._short = False
        self._here = ctypes.CDLL(None).sched_getcpu
        self._chooses = len(self._all) > 1

    def take(self, driver: int) -> None:
        """Choose where the next test runs, before it does.

        Args:
            driver: the driver's process id.
        """
        if not self._chooses:
            return
        now, cpus = time.monotonic(), self._cpus
        if cpus != self._all:
            if now >= self._until:
                cpus = self._all
        elif self._short:
            cpus = frozenset([self._here()])
            self._until = now + HELD_S
        self._short = True  # until it is seen to be long
        if (cpus, driver) != (self._cpus, self._driver):
            self._cpus, self._driver = cpus, driver
            self._tell([0, driver])

    def leave(self, threads: Callable[[], list[int]]) -> None:
        """Let the kernel choose: a test is long.

        Args:
            threads: finds those that the test has started, and is asked where they are not free already.
        """
        self._short = False
        if self._cpus != self._all:
            self._cpus = self._all
            self._tell([0, self._driver, *threads()])

    def _tell(self, threads: Iterable[int]) -> None:
        for thread in threads:
            try:
                os.sched_setaffinity(thread, self._cpus)
            except ProcessLookupError:
                continue
            except OSError:  # not allowed here, or these CPUs are this process's no more
                self._chooses, self._cpus = False, self._all
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(0, self._all)
                return
