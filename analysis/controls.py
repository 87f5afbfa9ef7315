"""What tells a real valley from an artefact: other steps, other formats, other traces; and behaviour."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, replace

import numpy as np
import sentences
from arms import STEPS_AXIS, Arm, Rate, View, baseline_of, cell_of, noise_of, passed
from collect import Collected
from results import Counts
from sentences import Document

from valley.statistics import (
    Cell,
    Estimate,
    contrast_interval,
    difference,
    score_interval,
    seed_noise,
)

PAIRS = (("difficulty", "easy", "hard"), ("correctness", "correct", "incorrect"))


def estimate(found: Estimate) -> Document:
    """An estimate as JSON."""
    return {"value": found.value, "interval": [found.low, found.high]}


def finite(value: float) -> float | None:
    """JSON has no infinity and no NaN."""
    return value if math.isfinite(value) else None


def twins(view: View) -> list[Document]:
    """Each matched-step twin against the same traces with the usual epochs, and against the baseline."""
    entries = []
    arms = [arm for arm in view.counts if arm.steps]
    for arm in sorted(arms, key=lambda a: (a.stage, a.size, a.steps)):
        epochs = replace(arm, steps=None)
        twin, usual, baseline = view.cell(arm), view.cell(epochs), view.cell(baseline_of(arm.stage))
        if twin is None or usual is None or baseline is None:
            continue
        gain = difference(twin, usual, view.noise)
        fall = difference(baseline, usual, view.noise)
        entry: Document = {
            **asdict(arm),
            "profile": view.profile,
            "usual_steps": view.steps[epochs],
            **estimate(score_interval(twin, view.noise)),
            "usual": estimate(score_interval(usual, view.noise)),
            "fall": estimate(fall),
            "difference_to_usual": estimate(gain),
            "difference_to_baseline": estimate(difference(twin, baseline, view.noise)),
            "fraction_of_fall": gain.value / fall.value if fall.low > 0 else None,
        }
        entries.append(entry | {"sentence": sentences.twin(entry)})
    return entries


def against_profile(main: View, other: View, stage: int, arm: Arm) -> Document | None:
    """How much of the fall at `arm` depends on how the student is asked: a difference of differences."""
    falls = {}
    for view in (main, other):
        baseline, cell = view.cell(baseline_of(stage)), view.cell(arm)
        if baseline is None or cell is None:
            return None
        falls[view.profile] = difference(baseline, cell, view.noise)
    apart = {
        a: cell
        for a, seeds in main.counts.items()
        if (cell := _apart(a, seeds, other.counts.get(a, {}))) is not None
    }
    if arm not in apart or baseline_of(stage) not in apart:
        return None
    noise = seed_noise(cell for cell in apart.values() if not cell.given)
    part = contrast_interval([1.0, -1.0], [apart[baseline_of(stage)], apart[arm]], noise)
    entry: Document = {
        "size": arm.size,
        "profiles": [main.profile, other.profile],
        "falls": {name: estimate(fall) for name, fall in falls.items()},
        "difference_of_falls": estimate(part),
    }
    return entry | {"sentence": sentences.profiles(entry)}


def _apart(arm: Arm, first: dict[int, Counts], second: dict[int, Counts]) -> Cell | None:
    both = sorted(first.keys() & second.keys())
    rates = [passed(first[seed]) - passed(second[seed]) for seed in both]
    return Cell(np.stack(rates), given=arm.size == 0) if rates else None


def contrasts(view: View) -> Iterator[Document]:
    """Easy − hard and correct − incorrect wherever both arms are there, by stage and size."""
    order = sorted(view.counts, key=lambda a: (a.stage, a.size, a.difficulty, a.correctness))
    for axis, better, worse in PAIRS:
        for arm in order:
            if arm.steps is not None or getattr(arm, axis) != better:
                continue
            against = (
                replace(arm, difficulty=worse)
                if axis == "difficulty"
                else replace(arm, correctness=worse)
            )
            first, second = view.cell(arm), view.cell(against)
            if first is None or second is None:
                continue
            entry: Document = {
                "axis": axis,
                "pair": [better, worse],
                "stage": arm.stage,
                "size": arm.size,
                "profile": view.profile,
                "difference": estimate(difference(first, second, view.noise)),
                "scores": {better: first.score, worse: second.score},
                "seeds": {better: first.seeds, worse: second.seeds},
                "seeds_measured": view.noise is not None,
            }
            yield entry | {"sentence": sentences.contrast(entry)}


RATES: dict[str, Rate] = {
    "completion_rate": lambda counts: counts.completed / counts.samples,
    "think_closed_rate": lambda counts: counts.think_closed / counts.samples,
}


def behaviour(view: View, collected: Collected) -> list[Document]:
    """Completion and think-closed rates of every arm, and pass@1 among completed, without interval."""
    table = collected.table
    rows = table[(table["profile"] == view.profile) & (table["state"] == "done")]
    noise = {name: noise_of(view.counts, rate) for name, rate in RATES.items()}
    entries = []
    for arm, seeds in view.counts.items():
        entry = asdict(arm) | {"profile": view.profile}
        for name, rate in RATES.items():
            cell = cell_of(arm, seeds, rate)
            assert cell is not None
            entry[name] = estimate(score_interval(cell, noise[name]))
        chosen = (rows["stage"] == arm.stage) & (rows["size"] == arm.size)
        for axis in ("difficulty", "correctness"):
            chosen &= rows[axis] == getattr(arm, axis)
        if STEPS_AXIS in rows:
            wanted = rows[STEPS_AXIS]
            chosen &= wanted.isna() if arm.steps is None else wanted == arm.steps
        completed = rows.loc[chosen, "pass@1_completed"].astype(float).mean()
        entry["pass@1_completed"] = finite(float(completed))
        entries.append(entry)
    return entries
