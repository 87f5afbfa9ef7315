"""The alarm of one test in lcb mode: upstream's SIGALRM, but time spent waiting for a core is free.

Upstream counts seconds on the clock, so that its verdicts depend on what else the machine does. On a
machine with nothing else to do this alarm is the same; on a busy one it rings later by as long as
the main thread was ready to run and had no core, which Linux tells.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import time
from typing import Any

WORTH_S = 0.02
"""Less lost time than this is not given back."""


class TimeoutException(Exception):
    """The alarm. Any error of a program whose text holds this name counts as a time limit."""


class Alarm:
    """At most one is set at a time; a program may put off, replace or survive it, as upstream's."""

    def __init__(self, timeout_s: int) -> None:
        self._timeout_s = timeout_s
        try:
            self._statistics = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        except OSError:
            self._statistics = -1
        self._started_s = time.monotonic()
        self._lost_s = 0.0
        _signal.signal(_signal.SIGALRM, self._ring)

    def set(self) -> None:
        """Ring after the timeout from now, and not as set before."""
        self._lost_s = self._waited_s()
        _signal.alarm(self._timeout_s)

    def stop(self) -> None:
        """Do not ring."""
        _signal.alarm(0)

    def elapsed_s(self) -> float:
        """Seconds since the beginning, without those lost."""
        return time.monotonic() - self._started_s - self._waited_s()

    def _ring(self, signum: int, frame: Any) -> None:
        waited_s = self._waited_s()
        lost_s, self._lost_s = waited_s - self._lost_s, waited_s
        if lost_s > WORTH_S:
            _signal.setitimer(_signal.ITIMER_REAL, lost_s)
            return
        # A program that goes on after this exception has this line in its output.
        print("timeout occured: alarm went off")
        raise TimeoutException

    def _waited_s(self) -> float:
        """Seconds that the main thread has waited for a core, 0 where that is not known."""
        try:
            return int(os.pread(self._statistics, 100, 0).split()[1]) / 1e9
        except (OSError, IndexError):
            return 0.0
