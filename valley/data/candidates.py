"""A candidate: a teacher's trace as its source holds it, before any selection.

A source's labels are kept as they stand. What they mean for an experiment (easy or hard, correct or
incorrect) is decided later, by the settings of `data.difficulty` and `data.correctness`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

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
    utf8: bool = False
    """Whether its texts came as UTF-8, which holds no half characters; JSON may."""


Wanted = Callable[[str], bool]
"""Whether a problem is wanted, by its id: `set.__contains__` is one."""


def everything(identity: str) -> bool:
    """Want every problem."""
    return True


def counted(counts: Mapping[str, int]) -> str:
    """What a source counted, as the end of a message.

    >>> counted({"rows": 2, "left out: no generation": 2})
    ' (rows: 2; left out: no generation: 2)'
    """
    return f" ({'; '.join(f'{name}: {n}' for name, n in counts.items())})" if counts else ""


class ProblemReader(Protocol):
    """A source of problems that streams: nothing in it holds all of them."""

    def problems(self, wanted: Wanted = everything) -> Iterator[Problem]:
        """Yield each wanted problem, once, reading the source from its beginning.

        Raises:
            UserError: a file is damaged or misses a column; names both.
        """
        ...

    def counts(self) -> dict[str, int]:
        """What was read, and what was left out by reason; of what has been iterated so far."""
        ...


class Reader(ProblemReader, Protocol):
    """A source of traces and of the problems that they answer.

    A candidate's `problem_id` is the id of one of the problems. A problem may have no tests: its traces
    can be learnt from and not graded.
    """

    def candidates(self) -> Iterator[Candidate]:
        """Yield each trace whose problem could be resolved, reading the source from its beginning.

        Raises:
            UserError: a file is damaged or misses a column; names both.
        """
        ...


@runtime_checkable
class Parted(Reader, Protocol):
    """A reader whose traces can be read in parts, each by a process of its own."""

    tally: Counter[str]
    """What `counts` tells of the traces that were iterated; that of a whole is the sum of its parts'."""

    def parts(self) -> Sequence[Parted]:
        """Readers of a part of the traces each; one after another they yield what this one does."""
        ...
