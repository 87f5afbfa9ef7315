"""Drawn rounds in a launch: how far they are is said, and those that follow are run once these are graded."""

from __future__ import annotations

from collections.abc import Callable

from valley.job import Trail
from valley.sampling import DrawnRounds


def say(rounds: DrawnRounds) -> None:
    """Print how far each profile is."""
    for drawing in rounds.drawings:
        print(drawing.sentence, flush=True)


def follow(
    before: DrawnRounds, record: Callable[[DrawnRounds], None], run: Callable[[Trail], int]
) -> int:
    """Run the rounds that follow these, which are run, until none does or one fails.

    Args:
        record: leaves word of the rounds that are planned, where their state has changed.
        run: runs a trail, and returns a command's status.

    Returns:
        The status that the command ends with.
    """
    while True:
        before.store.refresh()
        now = DrawnRounds.of(before.sweep, before.cells, before.store)
        if now.drawings == before.drawings:
            return 0
        say(now)
        record(now)
        if [d.number for d in now.drawings] == [d.number for d in before.drawings]:
            return 0
        if status := run(now.whole):
            return status
        before = now
