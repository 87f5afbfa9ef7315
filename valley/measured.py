"""What finished jobs took, read from the store: for estimates, and to hold estimates against.

Not every result is read: a hundred of a kind say how fast it works, and a status must be quick.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from valley.plan import Plan
from valley.preview import CHECKPOINT_ROLE
from valley.records import digest
from valley.store import Store
from valley.sweep import Sweep
from valley.throughput_model import Key, Measured, Measurements

MOST_READ = 100
"""Results of a kind."""


def measure(plan: Plan, sweep: Sweep, store: Store) -> Measurements:
    """The speed of finished jobs of the kinds that a plan is to run, its own and other sweeps'.

    What ran on another sort of device (a GPU, or none) than the sweep asks for is left out.
    """
    found: dict[Key, Measured] = {}
    reader = _Reader(store)
    done = plan.with_action("done")
    for kind in sorted({d.job.kind for d in plan.to_run} & CHECKPOINT_ROLE.keys()):
        own = [d.job.identity[:16] for d in done if d.job.kind == kind]
        on_gpu = getattr(sweep.resources, kind).gpus_per_node > 0
        for key, measured in reader.measured(kind, own, on_gpu):
            found[key] = found.get(key, Measured()) + measured
    return found


@dataclass(frozen=True)
class Spent:
    """Of the jobs of one kind that were looked at: what was estimated, and what they took."""

    jobs: int
    estimated_h: float
    measured_h: float

    @property
    def ratio(self) -> float | None:
        """How many times as long they took; None where nothing was estimated."""
        return self.measured_h / self.estimated_h if self.estimated_h else None


def measured_against_estimated(store: Store, places: Iterable[str]) -> dict[str, Spent]:
    """By kind, what finished jobs took against what the preview assumed at their launch, in hours.

    Of many jobs of a kind a hundred are read, spread over all. Results without an estimate, of
    earlier versions, are left out.

    Args:
        places: folders of jobs relative to the store, as a manifest names them.
    """
    by_kind: dict[str, list[str]] = {}
    for place in dict.fromkeys(places):
        by_kind.setdefault(place.partition("/")[0], []).append(place)
    spent = {}
    for kind, of_kind in by_kind.items():
        costs = [
            result["cost"]
            for place in of_kind[:: 1 + len(of_kind) // MOST_READ]
            if (result := store.result(kind, place[-16:])) and "estimated_s" in result["cost"]
        ]
        if costs:
            estimated_s = sum(cost["estimated_s"] for cost in costs)
            measured_s = sum(cost["wall_s"] for cost in costs)
            spent[kind] = Spent(len(costs), estimated_s / 3600, measured_s / 3600)
    return spent


class _Reader:
    """Reads results, and follows a job's inputs to its student."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.students: dict[str, str | None] = {}

    def measured(self, kind: str, own: list[str], on_gpu: bool) -> Iterator[tuple[Key, Measured]]:
        """What each finished job of a kind took; the plan's `own` come first."""
        folders = self.store.folders(kind)
        first = dict.fromkeys(identity for identity in own if identity in folders)
        for count, identity in enumerate((first | dict.fromkeys(folders)).keys()):
            if count == MOST_READ:
                return
            result = self.store.result(kind, identity)
            if result is None or (result["provenance"].get("device", "cpu") != "cpu") != on_gpu:
                continue
            place = str(folders[identity].relative_to(self.store.path))
            job, student = self._job(place), self._student(place)
            if job is None or student is None:
                continue
            try:
                detail, measured = _measured(kind, job["config"], result)
            except (KeyError, TypeError, ValueError):
                continue  # of a version that told something else
            if measured.seconds > 0:
                yield (kind, student, detail), measured

    def _student(self, place: str) -> str | None:
        """The identity of the preparation that a job's student comes from."""
        if place not in self.students:
            self.students[place] = None  # also ends a ring, which only a damaged store has
            job, kind = self._job(place), place.partition("/")[0]
            if job is not None and kind == "prepare":
                self.students[place] = job["identity"]
            elif job is not None and (parent := job["inputs"].get(CHECKPOINT_ROLE[kind])):
                self.students[place] = self._student(parent["folder"])
        return self.students[place]

    def _job(self, place: str) -> dict[str, Any] | None:
        try:
            value = json.loads((Path(self.store.path) / place / "job.json").read_bytes())
            value["config"], value["identity"], value["inputs"].items()
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        return value


def _measured(kind: str, config: dict[str, Any], result: dict[str, Any]) -> tuple[str, Measured]:
    """What its tokens depend on, and what a job took."""
    outcome, cost = result["outcome"], result["cost"]
    match kind:
        case "train":
            tokens, examples = outcome["tokens"], outcome["steps"] * config["train"]["batch_size"]
            rank_s = tokens / outcome["tokens_per_s"] * cost["ranks"]
            detail = "lessons" if config["select"] == "lessons" else "traces"
            return detail, Measured(1, examples, tokens, rank_s)
        case "generate":
            answers, tokens = outcome["samples"], outcome["completion_tokens"]
            return digest(config), Measured(1, answers, tokens, cost["wall_s"])
        case _:
            programs = sum(samples for samples, _ in outcome["counts"])
            return "", Measured(1, programs, 0, cost["wall_s"])
