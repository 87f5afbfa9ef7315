"""Rounds of samples in a launch: those that are planned now, and those that follow once they are graded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from valley.job import Trail
from valley.sampling import Drawing, all_rounds, draw
from valley.store import Store
from valley.sweep import Cell, Sweep


@dataclass(frozen=True)
class DrawnRounds:
    """A sweep's trail as far as its samples are to be drawn now."""

    sweep: Sweep
    cells: list[Cell]
    store: Store
    whole: Trail
    drawings: list[Drawing]
    """How far each profile is that is drawn in rounds."""

    @classmethod
    def of(cls, sweep: Sweep, cells: list[Cell], store: Store) -> DrawnRounds:
        """By what is graded now.

        Raises:
            UserError: cells draw a profile of one name in different rounds.
        """
        return cls(sweep, cells, store, *draw(sweep, cells, store))

    @cached_property
    def most(self) -> Trail:
        """The trail of all rounds that may come; `whole` itself where that is no more."""
        return all_rounds(self.sweep, self.cells, self.whole, self.drawings)

    @property
    def sampling(self) -> dict[str, dict[str, Any]]:
        """How far each profile is, for a manifest."""
        return {drawing.profile: drawing.as_json() for drawing in self.drawings}

    def say(self) -> None:
        """Print how far each profile is."""
        for drawing in self.drawings:
            print(drawing.sentence, flush=True)

    def follow(self, record: Callable[[DrawnRounds], None], run: Callable[[Trail], int]) -> int:
        """Run the rounds that follow these, which are run, until none does or one fails.

        Args:
            record: leaves word of the rounds that are planned, where their state has changed.
            run: runs a trail, and returns a command's status.

        Returns:
            The status that the command ends with.
        """
        before = self
        while True:
            self.store.refresh()
            now = DrawnRounds.of(self.sweep, self.cells, self.store)
            if now.drawings == before.drawings:
                return 0
            now.say()
            record(now)
            if [d.number for d in now.drawings] == [d.number for d in before.drawings]:
                return 0
            if status := run(now.whole):
                return status
            before = now
