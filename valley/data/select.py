"""Training subsets: which traces of the pool a cell learns from.

A trace's place is the hash of its id under `data_seed`, so subsets are nested (the first 1,000 of
10,000 are the 1,000), the same on every machine, and apart from the training and sampling seeds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from valley.data.traces import Trace
from valley.errors import UserError


def in_stratum(trace: Trace, difficulty: str, correctness: str) -> bool:
    """Whether a trace belongs to an arm. A trace of unknown correctness is in `all` only."""
    if difficulty not in ("all", trace.difficulty):
        return False
    return correctness == "all" or trace.correct is (correctness == "correct")


def rank(trace: Trace, data_seed: int) -> bytes:
    """The trace's place in every subset drawn under this seed."""
    return hashlib.sha256(f"{data_seed}:{trace.id}".encode()).digest()


def select(
    traces: Iterable[Trace], difficulty: str, correctness: str, size: int, data_seed: int
) -> list[Trace]:
    """The first `size` traces of an arm, by rank.

    Raises:
        UserError: the arm holds fewer.
    """
    arm = [trace for trace in traces if in_stratum(trace, difficulty, correctness)]
    if size > len(arm):
        raise UserError(
            f"size {size} is larger than the pool: {len(arm)} traces are {difficulty}/{correctness}"
        )
    return sorted(arm, key=lambda trace: rank(trace, data_seed))[:size]


def strata(traces: list[Trace]) -> dict[str, int]:
    """The number of traces in every arm, by `difficulty/correctness`."""
    return {
        f"{difficulty}/{correctness}": sum(in_stratum(t, difficulty, correctness) for t in traces)
        for difficulty in ("all", "easy", "medium", "hard")
        for correctness in ("all", "correct", "incorrect")
    }
