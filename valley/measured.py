"""What finished jobs took, read from the store, for estimates.

Not every result is read: a hundred of a kind say how fast it works, and a status must be quick.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from valley.evaluate.per_problem import total_samples
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
            tokens, settings = outcome["tokens"], config["train"]
            packed = settings.get("packing") == "epoch"  # then a step holds rows
            per_step = (
                outcome["attempt"]["documents_per_step"] if packed else settings["batch_size"]
            )
            examples = outcome["steps"] * per_step
            rank_s = tokens / outcome["tokens_per_s"] * cost["ranks"]
            detail = "lessons" if config["select"] == "lessons" else "traces"
            return detail, Measured(1, examples, tokens, rank_s)
        case "generate":
            if "shards" in outcome:
                raise ValueError("its shards took the time, and are measured themselves")
            before = outcome.get("earlier", {"samples": 0, "completion_tokens": 0})
            answers = outcome["samples"] - before["samples"]
            tokens = outcome["completion_tokens"] - before["completion_tokens"]
            return digest(config), Measured(1, answers, tokens, cost["wall_s"])
        case _:
            programs = total_samples(outcome) - outcome.get("earlier", {"samples": 0})["samples"]
            return "", Measured(1, programs, 0, cost["wall_s"])
