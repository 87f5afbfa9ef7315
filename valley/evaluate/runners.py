"""One worker's runners: for programs, and for checkers, apart.

A checker is told what is expected, and what it says is believed: it runs where no program has been.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from valley.evaluate.isolation import Isolation
from valley.evaluate.runner import Runner
from valley.evaluate.sandbox import Outcome, Run, SandboxError
from valley.evaluate.seat import Seat

log = logging.getLogger(__name__)

T = TypeVar("T")
ATTEMPTS = 3
"""How often a checker is asked before its failure counts as an infrastructure error."""


class Runners:
    """For one thread; a sandbox is started when it is first needed."""

    def __init__(
        self,
        isolation: Isolation,
        *,
        renews: bool = False,
        given_up: Callable[[], bool] = lambda: False,
    ) -> None:
        """Nothing is started yet.

        Args:
            renews: whether each program is to have a sandbox of its own.
            given_up: whether what runs is to be ended instead, with `GivenUp`; asked every 20 ms.
        """
        self._renews = renews
        seat = Seat()
        self._programs = Runner(isolation, seat, renews=renews, given_up=given_up)
        self._checkers = Runner(isolation, seat, given_up=given_up)

    def run(self, run: Run) -> Outcome:
        """Run one program.

        Raises:
            SandboxError: the sandbox failed, and so did new ones.
        """
        return self._programs.run(run)

    def ask(self, run: Run, read: Callable[[Outcome], T]) -> T:
        """Run one checker and read its outcome.

        Raises:
            SandboxError: the sandbox failed, or `read` raised it, each time that it was tried.
        """
        for _ in range(ATTEMPTS - 1):
            try:
                return read(self._checkers.run(run))
            except SandboxError as error:
                log.warning("a checker is asked again: %s", error)
                self._checkers.renew()
        return read(self._checkers.run(run))

    def end_program(self) -> None:
        """Say that a program has been run on all its tests."""
        if self._renews:
            self._programs.renew()

    def close(self) -> None:
        """End both sandboxes."""
        self._programs.close()
        self._checkers.close()
