"""Signals: how a scheduler tells this process that its time is over, and what the work at hand makes of it.

SIGUSR2 comes some time before the time limit (`cluster.signal_lead_s`), to every process of the step; on
one machine submitit's controller sends it. SIGTERM comes at a preemption or a scancel, with SIGKILL a
little later (Slurm's KillWait or GraceTime), or when a launcher ends what it runs.

A handler notes the reason, once and for all. Work that looks at it (a training) stops at a step of its
own choice, and what it has started lives until then; all other work is interrupted where it stands.
These handlers take the place of submitit's, whose own would requeue from rank 0 before the ranks have
agreed on a step.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

Reason = Literal["", "time_limit", "terminated"]
REASONS: dict[int, Reason] = {signal.SIGUSR2: "time_limit", signal.SIGTERM: "terminated"}


class Interrupted(BaseException):
    """The work at hand was broken off by a signal. No `except Exception` of a job may hold it up."""


class StopSignals:
    """What this process was told, and whether that may break off what it does."""

    def __init__(self) -> None:
        self.reason: Reason = ""
        """Why this process is to stop; empty while it is not. A termination outweighs a time limit:
        it comes with less time, and a cancelled job must not be requeued."""
        self._interrupts = False

    def install(self) -> None:
        """Take over the signals, in the main thread."""
        for number in REASONS:
            signal.signal(number, self._note)
        # Ctrl-C reaches the whole process group. The launcher decides what becomes of its jobs.
        signal.signal(signal.SIGINT, lambda *_: None)

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """While this lasts, a signal raises Interrupted amid the work; so does one that came before."""
        yield from self._while(True)

    @contextmanager
    def heeded(self) -> Iterator[Callable[[], bool]]:
        """While this lasts, a signal only sets a flag, which the work looks at: what is yielded."""
        with _children_spared():
            yield from self._while(False, lambda: bool(self.reason))

    def _while(self, interrupts: bool, value: Any = None) -> Iterator[Any]:
        before, self._interrupts = self._interrupts, interrupts
        try:
            if interrupts and self.reason:
                raise Interrupted(self.reason)
            yield value
        finally:
            self._interrupts = before

    def _note(self, number: int, _: Any) -> None:
        if self.reason != "terminated":
            self.reason = REASONS[number]
        if self._interrupts:
            self._interrupts = False  # once: what it does to end must not be broken off again
            raise Interrupted(self.reason)


@contextmanager
def _children_spared() -> Iterator[None]:
    """While this lasts, what this thread starts does not die of SIGUSR2, which comes to all of a step.

    A child loses its parent's handlers, and keeps the signals that the thread which started it blocks.
    So this one blocks the signal, and a thread that does nothing else takes it for the process.
    """
    over = threading.Event()
    threading.Thread(target=over.wait, name="signals", daemon=True).start()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        over.set()


stop_signals = StopSignals()
"""Those of this process."""
