"""What jobs left in the store: a cell's results and counts, or why it has none. Nothing is changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from valley.state import Ticket
from valley.store import Store


@dataclass(frozen=True)
class Counts:
    """Per-problem counts of one (cell, profile), each an integer array of shape [problems].

    `completed` are the samples that ended by themselves, `opened` and `think_closed` those whose
    thought was opened and closed.
    """

    samples: np.ndarray
    passed: np.ndarray
    completed: np.ndarray
    opened: np.ndarray
    think_closed: np.ndarray


def counts_of(outcome: dict[str, Any]) -> Counts:
    """The arrays of a grade's outcome. Raises ValueError, KeyError or TypeError where they are off."""
    pairs = np.asarray(outcome["counts"], dtype=np.int64)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not len(pairs):
        raise ValueError("counts are not one [samples, passed] per problem")
    samples, passed = pairs.T
    rest = [
        np.asarray(outcome[name], dtype=np.int64)
        for name in ("completed", "opened", "think_closed")
    ]
    if any(array.shape != samples.shape for array in rest):
        raise ValueError("the per-problem arrays differ in length")
    if samples.min() < 1 or any(
        ((array < 0) | (array > samples)).any() for array in [passed, *rest]
    ):
        raise ValueError("a problem without samples, or a count outside 0..samples")
    return Counts(samples, passed, *rest)


def counted_rounds(
    lines: dict[tuple[str, str], dict[str, Any]], reader: Results
) -> dict[tuple[str, str], dict[str, Any]]:
    """A manifest's lines, of the newest round of samples that every cell has under a profile."""
    counted = {}
    for profile in {profile for _, profile in lines}:
        mine = [line for (_, name), line in lines.items() if name == profile]
        rounds = [[*line.get("earlier", []), line["jobs"]] for line in mine]
        number = min(len(of_line) for of_line in rounds)
        while number > 1 and any(reader.result(r[number - 1]["grade"]) is None for r in rounds):
            number -= 1
        counted[profile] = number
    return {
        (cell, profile): line
        if len(line.get("earlier", [])) < counted[profile]
        else {**line, "jobs": line["jobs"] | line["earlier"][counted[profile] - 1]}
        for (cell, profile), line in lines.items()
    }


class Results:
    """Results by the folders that a manifest names. Each is read once, since cells share jobs."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._results: dict[str, dict[str, Any] | None] = {}
        self._damaged: set[str] = set()

    def result(self, place: str) -> dict[str, Any] | None:
        """A job's valid result, or None."""
        if place not in self._results:
            named = len(self._store.damaged)
            self._results[place] = self._read(place)
            if len(self._store.damaged) > named:
                self._damaged.add(place)
        return self._results[place]

    def _read(self, place: str) -> dict[str, Any] | None:
        job = Ticket.of(place)
        value = self._store.result(job.kind, job.identity)
        if value is not None and job.kind == "grade":
            try:
                counts_of(value["outcome"])
                value["outcome"]["metrics"]["pass@1"], value["outcome"]["problem_set"]["digest"]
            except (ValueError, KeyError, TypeError) as error:
                path = self._store.path / place / "result.json"
                self._store.damaged.append(f"{path}: damaged ({type(error).__name__}: {error})")
                return None
        return value

    def why_none(self, places: Sequence[str]) -> tuple[str, str]:
        """Why a cell has no score, by the first of its jobs that has no result.

        Returns:
            "damaged" or "missing", and what the job left behind.
        """
        place = next(place for place in places if self.result(place) is None)
        job = Ticket.of(place)
        if place in self._damaged:
            return "damaged", f"{job.kind}: its result is damaged"
        if failure := self._store.failure(job.kind, job.identity):
            return "missing", (
                f"{job.kind} failed: {failure.get('error')} (log: {failure.get('log')})"
            )
        # Whether it still runs, only the machine or Slurm can say; `sweeps/status.py` asks them.
        started = self._store.running(job.kind, job.identity) is not None
        return "missing", f"{job.kind} {'started, no result yet' if started else 'not done'}"
