"""Retention: which weights the planned jobs of all sweeps still need. Pure.

A job needs the weights that it starts from, or that it asks, until it is done. Where those are not there
either (not trained yet, or pruned), what they are made from is needed in their place, and so on back to
the student. Everything else may be pruned: results, samples and logs tell all that plots are drawn from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any


def needed(
    rows: Iterable[Mapping[str, Any]],
    is_done: Callable[[str], bool],
    makes_weights: Callable[[str], bool],
    has_weights: Callable[[str], bool],
) -> dict[str, str]:
    """The jobs whose weights a planned job needs, each with the first job that needs it.

    Jobs are named by their folders relative to the store.

    Args:
        rows: lines of manifests, as `Ledger.rows` yields them.
        is_done: whether a job has a valid result.
        makes_weights: whether a job, if it is done, is one that leaves weights.
        has_weights: whether its weights are there.
    """
    found: dict[str, str] = {}
    for row in rows:
        jobs = row["jobs"]
        # After a round of samples another may be asked.
        ends = row.get("sampling", {"is_over": True})["is_over"]
        if ends and (is_done(jobs["grade"]) or is_done(jobs["generate"])):
            continue
        child = jobs["generate"]
        for place in reversed(checkpoints(row, makes_weights)):
            found.setdefault(place, child)
            if has_weights(place):
                break
            child = place
    return found


def checkpoints(row: Mapping[str, Any], makes_weights: Callable[[str], bool]) -> list[str]:
    """The jobs of a row that leave weights, each started from the one before; the last is asked.

    A manifest names parents before children, and a checkpoint starts from one other, so their order is
    the chain itself.
    """
    own = row["jobs"]["train"]
    before = [p for p in row["before"] if p.startswith("train/") or makes_weights(p)]
    return [*before, own] if own is not None else before
