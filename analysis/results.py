"""Read what jobs left in the store, without ever changing it: results, failures, and what is wrong."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from valley.store import RESULT_SCHEMA

KINDS = ("train", "generate", "grade")
"""A cell's jobs in the order in which they run."""


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


class Results:
    """Job results below a store. Each is read once, since all profiles of a cell share its training."""

    def __init__(self, store: Path, damaged: list[str]) -> None:
        self._store = store
        self._damaged = damaged
        self._results: dict[str, dict[str, Any] | None] = {}
        self._faults: dict[str, str] = {}

    def result(self, job: str | None) -> dict[str, Any] | None:
        """A job's valid result; None where there is none, or no job."""
        if job is None:
            return None
        if job not in self._results:
            self._results[job] = self._read(job)
        return self._results[job]

    def _read(self, job: str) -> dict[str, Any] | None:
        path = self._store / job / "result.json"
        try:
            text = path.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, UnicodeDecodeError) as error:
            self._leave_out(job, path, error)
            return None
        try:
            value = json.loads(text)
            if value["schema"] != RESULT_SCHEMA:
                raise ValueError(f"schema {value['schema']!r} found, {RESULT_SCHEMA!r} expected")
            if not value["identity"].startswith(job.rpartition("-")[2]):
                raise ValueError(f"it is the result of {value['identity'][:16]}")
            value["outcome"].keys(), value["cost"].keys(), value["provenance"].keys()
            if value["kind"] == "grade":
                counts_of(value["outcome"])
                value["outcome"]["metrics"]["pass@1"], value["outcome"]["problem_set"]["digest"]
            return value
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._leave_out(job, path, error)
            return None

    def _leave_out(self, job: str, path: Path, error: Exception) -> None:
        self._faults[job] = f"damaged result ({type(error).__name__}: {error})"
        self._damaged.append(f"{path}: {self._faults[job]}")

    def reason(self, jobs: dict[str, str | None]) -> str:
        """Why a cell has no score: the first of its jobs without a result, and what it left behind."""
        for kind, job in jobs.items():
            if job is None or self.result(job) is not None:
                continue
            if job in self._faults:
                return f"{kind}: {self._faults[job]}"
            if failure := self._note(job, "failed.json"):
                return f"{kind} failed: {failure.get('error')} (log: {failure.get('log')})"
            return f"{kind} running" if self._note(job, "running.json") else f"{kind} not done"
        return "grade not done"

    def _note(self, job: str, name: str) -> dict[str, Any] | None:
        try:
            value = json.loads((self._store / job / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return value if isinstance(value, dict) else None
