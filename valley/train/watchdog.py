"""The watchdog: a training that has come to a standstill is ended, with every rank's stack in its log.

A rank that hangs keeps the others waiting in a collective operation, until the time limit. So every rank
watches itself, from a thread of its own:

1. A sign of life (a step that is done) sets the clock back. The first may take `START_S`, if that is
   more: imports, weights and compilers take their time, however short a step is.
2. Where none has come for `after_s`, the stacks of all the rank's threads go to its log. They are
   written outside the interpreter, and so also where what hangs holds it. Then it says why: it may
   yet end of having lost a rank that was ended first.
3. `GRACE_S` later, when the other ranks have done the same, `end` is called, to end all of them.
4. Where a file system hangs, `end` may hang too, since it writes the reason down. `END_S` later the rank
   ends without a further word. What is written is written beside the watch, which so outlives it.

Time in which the process itself was stopped, as where a scheduler suspends jobs, does not count.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

logger = logging.getLogger(__name__)

TICK_S = 1.0
GRACE_S = 5.0
END_S = 15.0
START_S = 300.0
STDERR = 2


class Watchdog:
    """One that watches as long as it is entered. Where `after_s` is None it never does anything.

    Args:
        after_s: seconds without a sign of life, give or take a tick.
        end: told why; it must end the process, and is called from another thread.
    """

    def __init__(self, after_s: float | None, end: Callable[[str], Any]) -> None:
        self.after_s = after_s
        self.end = end
        self._step = 0
        self._signs = 0
        self._over = threading.Event()

    def __enter__(self) -> Watchdog:
        if self.after_s is not None:
            watch = threading.Thread(target=self._watch, args=(self.after_s,), daemon=True)
            watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        faulthandler.cancel_dump_traceback_later()

    def alive(self, step: int) -> None:
        """A sign of life, so many steps being done."""
        self._step = step
        self._signs += 1

    def _watch(self, after_s: float) -> None:
        seen, idle_s, limit_s, why = -1, 0.0, after_s, ""
        while idle_s < limit_s + GRACE_S:
            if self._signs != seen:
                seen, idle_s, why = self._signs, 0.0, ""
                limit_s = after_s if seen else max(after_s, START_S)
                faulthandler.dump_traceback_later(limit_s, file=STDERR)
            if self._over.wait(TICK_S):
                return
            idle_s += TICK_S
            if idle_s >= limit_s and not why:
                why = (
                    f"stuck: no progress for {limit_s:g} s (train.stuck_after_s) after step {self._step}; "
                    "each rank's log shows where it stood"
                )
                _beside(logger.error, "%s", why)
        ending = _beside(self.end, why)
        ending.join(END_S)
        if ending.is_alive():
            os._exit(1)


def _beside(call: Callable[..., Any], *arguments: Any) -> threading.Thread:
    """Begin a call that may never return."""
    thread = threading.Thread(target=call, args=arguments, daemon=True)
    thread.start()
    return thread
