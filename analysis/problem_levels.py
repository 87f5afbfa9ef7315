"""Scores by the difficulty that the evaluation set gives its problems."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from arms import Arm, View, baseline_of
from collect import Collected
from controls import estimate
from sentences import Document, interval
from size_unit import counted

from valley.places import Ticket
from valley.statistics import Cell, SeedNoise, difference, score_interval, seed_noise
from valley.store import Store

ORDER = ("easy", "medium", "medium_hard", "hard", "very_hard")
UNKNOWN = "unknown"
FALL_LEVEL = 0.95


def problem_levels(collected: Collected) -> list[str] | None:
    """Each problem's difficulty in the order of the counts; None where the evaluation set is not there."""
    store = Store(collected.folder.parents[1], read_only=True)
    places = {collected.places[key]["grade"] for key in collected.counts}
    for place in sorted(places)[:1]:
        result = store.result("grade", Ticket.of(place).identity)
        evaluation = (result or {}).get("inputs", {}).get("evaluation")
        if evaluation is not None:
            return _levels(store.path / evaluation / "evaluation.jsonl")
    return None


def _levels(path: Path) -> list[str] | None:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return [str(json.loads(line).get("difficulty") or UNKNOWN).lower() for line in lines]
    except (OSError, ValueError):
        return None


def by_level(view: View, levels: list[str] | None, stage: int, subset: tuple[str, str]) -> Document:
    """Each difficulty's baseline and curve, and its fall at each size, corrected over all of them.

    Returns:
        `levels`: name, number of problems, baseline, curve (size, score and `fall`, the baseline minus the
        score); `sentence`. No levels where there is one difficulty only, or it is not known.
    """
    names = sorted(set(levels or ()), key=lambda n: (ORDER.index(n) if n in ORDER else 9, n))
    counts = next((len(c.samples) for seeds in view.counts.values() for c in seeds.values()), 0)
    if levels is None or len(names) < 2 or len(levels) != counts:
        return {"levels": [], "sentence": None}
    arms = [arm for arm in view.sizes(stage, subset) if arm in view.counts]
    coverage = 1 - (1 - FALL_LEVEL) / max(1, len(names) * len(arms))
    found = [_level(view, name, np.array(levels) == name, stage, arms, coverage) for name in names]
    return {"levels": found, "sentence": _sentence(found, len(names) * len(arms))}


def _level(
    view: View, name: str, chosen: np.ndarray, stage: int, arms: list[Arm], coverage: float
) -> Document:
    cells = {
        arm: _part(cell, chosen) for arm in view.counts if (cell := view.cell(arm)) is not None
    }
    noise = seed_noise(cell for cell in cells.values() if not cell.given)
    baseline = cells.get(baseline_of(stage))
    return {
        "name": name,
        "problems": int(chosen.sum()),
        "baseline": None if baseline is None else estimate(score_interval(baseline)),
        "curve": [_point(arm, cells[arm], baseline, noise, coverage) for arm in arms],
    }


def _part(cell: Cell, chosen: np.ndarray) -> Cell:
    return replace(cell, rates=cell.rates[:, chosen])


def _point(
    arm: Arm, cell: Cell, baseline: Cell | None, noise: SeedNoise | None, coverage: float
) -> Document:
    fall = None if baseline is None else difference(baseline, cell, noise, level=coverage)
    return {
        "size": arm.size,
        **estimate(score_interval(cell, noise)),
        "fall": None if fall is None else estimate(fall),
    }


def _sentence(levels: list[Document], tests: int) -> str | None:
    """Where each difficulty falls most."""
    parts = []
    for one in levels:
        falls = [point for point in one["curve"] if point["fall"] is not None]
        if falls:
            worst = max(falls, key=lambda point: point["fall"]["value"])
            shown = "" if worst["fall"]["interval"][0] > 0 else ", not shown"
            parts.append(
                f"{one['name']} by {interval(worst['fall'])} at {counted(worst['size'])}{shown}"
            )
    if not parts:
        return None
    return (
        f"Largest falls below the baseline by the problems' difficulty: {'; '.join(parts)} "
        f"(95 %, corrected for {tests} comparisons)."
    )
