"""A candidate: a teacher's trace as its source holds it, before any selection.

A source's labels are kept as they stand. What they mean for an experiment (easy or hard, correct or
incorrect) is decided later, by the settings of `data.difficulty` and `data.correctness`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from valley.data.problems import Problem
from valley.data.traces import Trace


@dataclass(frozen=True)
class Candidate:
    """One trace with what its source says of it."""

    trace: Trace
    """`correct` and `difficulty` are None unless the source is in this project's own format."""
    label: str | None
    """The source's own difficulty label, as it stands."""
    pass_rate: float | None
    """The fraction of tests that the trace's program passed, 0 to 1; None where it is unknown."""
    judgement: bool | None
    """Whether a judge called the trace right; None where none did."""
    source: str
    """The data set and split that the problem is from, e.g. `taco/train`."""
    question_id: str | None
    """What the source calls the problem."""


class Reader(Protocol):
    """A source that streams: nothing in it holds all rows.

    Each call of `problems` and `candidates` reads the source from its beginning. A candidate's
    `problem_id` is the id of one of the problems.
    """

    def problems(self) -> Iterator[Problem]:
        """Yield each problem that candidates answer, once."""
        ...

    def candidates(self) -> Iterator[Candidate]:
        """Yield each trace whose problem could be resolved.

        Raises:
            UserError: a file is damaged or misses a column; names both.
        """
        ...

    def counts(self) -> dict[str, int]:
        """What `candidates` read and left out, by reason; whole once that was read to its end."""
        ...
