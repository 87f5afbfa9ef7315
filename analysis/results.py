"""What jobs left in the store: a cell's results and counts, or why it has none. Nothing is changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from valley.errors import UserError
from valley.evaluate.per_problem import NAMES, arrays, check, shares_passed
from valley.state import Ticket
from valley.store import Store

TRAIN_COLUMNS = ("examples", "tokens", "loss_first", "loss_last")
Key = tuple[str, str]
"""A cell and a profile, as the manifest names them."""
V = TypeVar("V")


@dataclass(frozen=True)
class Counts:
    """Per-problem counts of one (cell, profile), each an integer array of shape [problems].

    `completed` are the samples that ended by themselves, `opened` and `think_closed` those whose
    thought was opened and closed. Not every result has the rest: `tests_passed`, sums over samples of the
    share of tests passed before the first failure, [problems]; and of held-out traces, in a set that is
    named by a digest, the negative log-likelihood per response token, [traces], NaN of one without.
    """

    samples: np.ndarray
    passed: np.ndarray
    completed: np.ndarray
    opened: np.ndarray
    think_closed: np.ndarray
    tests_passed: np.ndarray | None = None
    held_out: str = ""
    nll: np.ndarray | None = None


def counts_of(outcome: dict[str, Any]) -> Counts:
    """The arrays of a grade's outcome. Raises ValueError, KeyError or TypeError where they are off."""
    found = arrays(outcome)
    samples, passed, completed, opened, closed = (found[name] for name in ("samples", *NAMES))
    return Counts(samples, passed, completed, opened, closed, shares_passed(outcome))


def with_likelihood(counts: Counts, generated: dict[str, Any] | None) -> Counts:
    """Counts with what a generation's outcome says of held-out traces, if it does.

    A trace that is longer than the context has no likelihood, and its place is kept.
    """
    found = (generated or {}).get("held_out")
    if found is None:
        return counts
    pairs = zip(found["nll"], found["tokens"], strict=True)
    per_token = [math.nan if nll is None else nll / tokens for nll, tokens in pairs]
    return replace(counts, held_out=found["traces"], nll=np.array(per_token))


class Later(Mapping[Key, V]):
    """A dict that is made when something of it is asked for the first time."""

    def __init__(self, make: Callable[[], dict[Key, V]]) -> None:
        self._make = make

    @cached_property
    def _made(self) -> dict[Key, V]:
        return self._make()

    def __getitem__(self, key: Key) -> V:
        return self._made[key]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)


class Lazily(Mapping[Key, V]):
    """What is known of each (cell, profile), read from its result files when it is asked for.

    A table of 100,000 cells needs none of it, and a figure that of its own cells.
    """

    def __init__(
        self,
        places: Mapping[Key, dict[str, str]],
        read: Callable[[dict[str, str]], V],
        known: dict[Key, V] | None = None,
    ) -> None:
        """Read nothing yet.

        Args:
            places: the folders of each one's jobs, by kind.
            read: makes a value of these.
            known: what was read before, and where to keep what will be.
        """
        self._places = places
        self._read = read
        self._values: dict[Key, V] = {} if known is None else known

    def __getitem__(self, key: Key) -> V:
        if key not in self._values:
            self._values[key] = self._read(self._places[key])
        return self._values[key]

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def __iter__(self) -> Iterator[Key]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def only(self, keys: Collection[Key]) -> Lazily[V]:
        """Those of some cells and profiles, in the same order."""
        places = {key: at for key, at in self._places.items() if key in keys}
        return Lazily(places, self._read, self._values)


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

    def counts(self, places: Mapping[str, str]) -> Counts:
        """A cell's counts.

        Raises:
            UserError: they have gone since the table was made.
        """
        counts = counts_of(self._there(places["grade"])["outcome"])
        made = self.result(places["generate"]) if "generate" in places else None
        return with_likelihood(counts, None if made is None else made["outcome"])

    def provenance(self, places: Mapping[str, str]) -> dict[str, dict[str, Any]]:
        """Where a cell's results come from, by kind; of a generation also what decoded."""
        found = {}
        for kind, place in places.items():
            if (result := self.result(place)) is not None:
                backend = result["outcome"].get("backend")
                also = {} if backend is None else {"backend": backend}
                found[kind] = result["provenance"] | also
        return found

    def _there(self, place: str) -> dict[str, Any]:
        if (result := self.result(place)) is None:
            raise UserError(
                f"{self._store.path / place}: its result went away or was damaged while it was read; "
                "run this again"
            )
        return result

    def facts(self, place: str) -> dict[str, Any] | None:
        """What the table says of a job by its valid result; None where it has none. Not remembered."""
        named = len(self._store.damaged)
        result = self._read(place)
        if result is None:
            self._results[place] = None
            if len(self._store.damaged) > named:
                self._damaged.add(place)
            return None
        outcome, kind = result["outcome"], place.partition("/")[0]
        values: dict[str, Any] = {}
        if kind == "grade":
            values |= outcome["metrics"]
            values["problem_set"] = outcome["problem_set"]["digest"]
            values["snapshot"] = result["provenance"].get("snapshot")
        elif kind == "train":
            values |= {f"train_{name}": outcome.get(name) for name in TRAIN_COLUMNS}
        values[f"{kind}_wall_s"] = result["cost"].get("wall_s")
        return values

    def _read(self, place: str) -> dict[str, Any] | None:
        kind, identity = place.partition("/")[0], place.rpartition("-")[2]
        value = self._store.result(kind, identity)
        if value is not None and kind == "grade":
            try:
                check(value["outcome"])
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
