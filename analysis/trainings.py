"""What trainings left: how their loss went, and what they cost.

A step's line in `log.jsonl` is written as it is made, so a training that still runs has a curve too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from collect import Collected
from sentences import Document

from valley.places import Ticket
from valley.store import Store

MOST_POINTS = 200
"""Of a curve: more could not be told apart in print, and `valley.json` would grow by megabytes."""


@dataclass(frozen=True)
class Training:
    """`steps` and `losses` are shorter than the training; `hours` of `unit` are None until it is done."""

    steps: list[int]
    losses: list[float]
    unit: str | None = None
    hours: float | None = None


def trainings(collected: Collected) -> dict[str, Training]:
    """By cell. Cells that were not trained, or whose training has not begun, are left out."""
    store = Store(collected.folder.parents[1], read_only=True)
    places = {
        cell: jobs["train"] for (cell, _), jobs in collected.places.items() if "train" in jobs
    }
    found = {cell: _training(store, Ticket.of(place)) for cell, place in places.items()}
    return {cell: training for cell, training in found.items() if training is not None}


def _training(store: Store, job: Ticket) -> Training | None:
    result = store.result("train", job.identity)
    by_step = _log(store.folder("train", job.label, job.identity) / "log.jsonl")
    if result is None and not by_step:
        return None
    steps, losses = thinned(by_step)
    if result is None:
        return Training(steps, losses)
    return Training(steps, losses, *_cost(result))


def _log(path: Path) -> dict[int, float]:
    """Loss by step; of a step that was made again after an interruption, the last."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return {}
    by_step = {}
    for line in lines:
        try:
            value = json.loads(line)
            by_step[int(value["step"])] = float(value["loss"])
        except (ValueError, KeyError, TypeError):  # a line that is being written
            continue
    return by_step


def thinned(by_step: dict[int, float], most: int = MOST_POINTS) -> tuple[list[int], list[float]]:
    """The means of at most `most` runs of steps, each at its last step, to five digits."""
    steps = sorted(by_step)
    runs = [run for run in np.array_split(steps, min(most, len(steps)) or 1) if len(run)]
    means = [float(np.mean([by_step[int(step)] for step in run])) for run in runs]
    return [int(run[-1]) for run in runs], [float(f"{mean:.5g}") for mean in means]


def _cost(result: dict[str, Any]) -> tuple[str, float | None]:
    """GPU-hours are every rank's wall time; on CPUs, core-hours are the time that the cores worked."""
    cost = result["cost"]
    if result["provenance"].get("device", "cpu") == "cpu":
        cpu_s = cost.get("cpu_s")
        return "core-hours", None if cpu_s is None else cpu_s / 3600
    wall_s = cost.get("wall_s")
    return "GPU-hours", None if wall_s is None else wall_s * cost.get("ranks", 1) / 3600


def loss_curves(collected: Collected, found: dict[str, Training]) -> list[Document]:
    """Each training's axes and curve, steps that are not finite left out and counted."""
    entries: list[Document] = []
    for cell, axes in {key[0]: axes for key, axes in collected.cells.items()}.items():
        training = found.get(cell)
        if training is None or not training.steps:
            continue
        pairs = zip(training.steps, training.losses, strict=True)
        kept = [(step, loss) for step, loss in pairs if np.isfinite(loss)]
        entries.append(
            {
                "cell": cell,
                **axes,
                "done": training.unit is not None,
                "curve": [list(pair) for pair in kept],
                "not_finite": len(training.steps) - len(kept),
            }
        )
    return entries
