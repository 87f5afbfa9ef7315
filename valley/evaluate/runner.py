"""Runs programs in a sandbox that is started when first needed, and again when it has failed.

A sandbox that fails is not the program's fault: the test is run again in a new one. But a program
may break its sandbox, and then does so again, while another program before and after it runs well:
that it has failed is then its own doing, and a verdict.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from valley.evaluate.isolation import Isolation
from valley.evaluate.probe import trial
from valley.evaluate.sandbox import Outcome, Run, Sandbox, SandboxError, broke_its_sandbox
from valley.evaluate.seat import Seat
from valley.evaluate.succession import Succession

log = logging.getLogger(__name__)


class Runner:
    """For one thread."""

    def __init__(
        self,
        isolation: Isolation,
        seat: Seat,
        *,
        renews: bool = False,
        given_up: Callable[[], bool] = lambda: False,
    ) -> None:
        """Nothing is started yet.

        Args:
            seat: this thread's.
            renews: whether `renew` will be called often, so that a nursery is worth its start.
            given_up: whether programs are to be ended instead; see `Sandbox.run`.
        """
        self._isolation = isolation
        self._seat = seat
        self._given_up = given_up
        self._sandbox: Sandbox | None = None
        self._renews = renews
        self._succession: Succession | None = None

    def run(self, run: Run) -> Outcome:
        """Run one program; a failure of the sandbox is tried once more.

        Raises:
            SandboxError: it failed twice, or no program can be run here.
            GivenUp: `given_up` said so.
        """
        try:
            return self._run_once(run)
        except SandboxError as error:
            log.warning("the sandbox is started again: %s", error)
            self._try()
        try:
            return self._run_once(run)
        except SandboxError as error:
            self._try()
            log.warning("a program broke its sandbox twice, others did not: %s", error)
            return broke_its_sandbox(str(error))

    def _run_once(self, run: Run) -> Outcome:
        if self._sandbox is None:
            self._sandbox = self._started()
        usable = False
        try:
            outcome = self._sandbox.run(run, self._seat, self._given_up)
            usable = self._sandbox.usable
            return outcome
        finally:
            if not usable:
                self.renew()

    def _started(self) -> Sandbox:
        if not self._renews:
            return Sandbox(self._isolation)
        try:
            if self._succession is None:
                self._succession = Succession(self._isolation)
            return self._succession.take()
        except (OSError, LookupError, SandboxError) as error:
            log.info("each sandbox is started with an interpreter of its own: %s", error)
            self._renews = False
            self.close()
            return Sandbox(self._isolation)

    def _try(self) -> None:
        """See that a new sandbox runs a program that is known to work."""
        self.renew()
        self._sandbox = Sandbox(self._isolation)
        try:
            trial(self._sandbox)
        except SandboxError:
            self.renew()
            raise

    def renew(self) -> None:
        """End the sandbox, if one is running; the next run has another."""
        sandbox, self._sandbox = self._sandbox, None
        if sandbox is None:
            return
        if self._succession is None:
            sandbox.close()
        else:
            self._succession.put_away(sandbox)

    def close(self) -> None:
        """End all that is running, and let this thread run anywhere again."""
        self._seat.leave(list)
        self.renew()
        if self._succession is not None:
            self._succession.close()
            self._succession = None
