"""Runs programs in a sandbox that is started when first needed, and again when it has failed."""

from __future__ import annotations

import logging
import time

from valley.evaluate.isolation import Isolation
from valley.evaluate.sandbox import Outcome, Run, Sandbox, SandboxError

log = logging.getLogger(__name__)

ATTEMPTS = 3
"""How often a run is tried before its failure counts as an infrastructure error."""
PAUSE_S = 0.2
"""Before the last attempt: what the machine is short of may have been a matter of a moment."""


class Runner:
    """For one thread."""

    def __init__(self, isolation: Isolation) -> None:
        self._isolation = isolation
        self._sandbox: Sandbox | None = None

    def run(self, run: Run) -> Outcome:
        """Run one program; a failure of the sandbox is tried again in a new one.

        Raises:
            SandboxError: it failed `ATTEMPTS` times.
        """
        for _ in range(ATTEMPTS - 1):
            try:
                return self._run_once(run)
            except SandboxError as error:
                log.warning("the sandbox is started again: %s", error)
        time.sleep(PAUSE_S)
        return self._run_once(run)

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
        """End the sandbox, if one is running; the next run starts another."""
        if self._sandbox is not None:
            self._sandbox.close()
            self._sandbox = None
