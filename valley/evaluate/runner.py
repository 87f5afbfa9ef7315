"""The runner: one worker's sandboxes, started when first needed and again when they failed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from valley.evaluate.isolation import Isolation
from valley.evaluate.sandbox import Outcome, Run, Sandbox, SandboxError

log = logging.getLogger(__name__)

T = TypeVar("T")
ATTEMPTS = 3
"""How often a run is tried before its failure counts as an infrastructure error."""
PAUSE_S = 0.2
"""Before the last attempt: what the machine is short of may have been a matter of a moment."""


class Runner:
    """Runs programs in one sandbox, and checkers in another, which no program has ever been in."""

    def __init__(self, isolation: Isolation) -> None:
        self._programs, self._checkers = _Box(isolation), _Box(isolation)

    def run(self, run: Run) -> Outcome:
        """Run one program; a failure of the sandbox is tried again in a new one.

        Raises:
            SandboxError: it failed `ATTEMPTS` times.
        """
        return self._programs.run(run, lambda outcome: outcome)

    def ask(self, run: Run, read: Callable[[Outcome], T]) -> T:
        """Run one checker and read its outcome; where `read` raises `SandboxError`, try again.

        Raises:
            SandboxError: as for `run`.
        """
        return self._checkers.run(run, read)

    def close(self) -> None:
        """End both."""
        self._programs.close()
        self._checkers.close()


class _Box:
    """A sandbox and its successors."""

    def __init__(self, isolation: Isolation) -> None:
        self._isolation = isolation
        self._sandbox: Sandbox | None = None

    def run(self, run: Run, read: Callable[[Outcome], T]) -> T:
        for left in reversed(range(ATTEMPTS)):
            try:
                return read(self._run_once(run))
            except SandboxError as error:
                self.close()
                if not left:
                    raise
                log.warning("the sandbox is started again: %s", error)
                if left == 1:
                    time.sleep(PAUSE_S)
        raise AssertionError("unreachable")

    def _run_once(self, run: Run) -> Outcome:
        if self._sandbox is None:
            self._sandbox = Sandbox(self._isolation)
        usable = False
        try:
            outcome = self._sandbox.run(run)
            usable = self._sandbox.usable
            return outcome
        finally:
            if not usable:
                self.close()

    def close(self) -> None:
        if self._sandbox is not None:
            self._sandbox.close()
            self._sandbox = None
