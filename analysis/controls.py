"""What tells a real valley from an artefact: other steps, other formats, other traces."""

from __future__ import annotations

import math
from dataclasses import asdict, replace

import further_sentences
import numpy as np
import sentences
from arms import Arm, Rate, View, baseline_of, cell_of, noise_of, passed
from results import Counts
from sentences import Document
from size_unit import counted

from valley.statistics import (
    Cell,
    Estimate,
    contrast_interval,
    difference,
    score_interval,
    seed_noise,
)
from valley.statistics.correlation import Measured, correlation
from valley.statistics.effects import Pair, effects
from valley.statistics.effects import interactions as interactions_of
from valley.statistics.scores import LEVEL

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


def against_profile(main: View, other: View, stage: int, arm: Arm, sizes: int) -> Document | None:
    """How much of the fall at `arm` depends on how the student is asked: a difference of differences.

    Args:
        arm: where the main profile's curve is lowest. It is known by its scores alone, so every interval is
            corrected (Bonferroni) for the `sizes` that it could have been.
    """
    level = 1 - (1 - LEVEL) / sizes
    falls = {}
    for view in (main, other):
        baseline, cell = view.cell(baseline_of(stage)), view.cell(arm)
        if baseline is None or cell is None:
            return None
        falls[view.profile] = difference(baseline, cell, view.noise, level=level)
    apart = {
        a: cell
        for a, seeds in main.counts.items()
        if (cell := _apart(a, seeds, other.counts.get(a, {}))) is not None
    }
    if arm not in apart or baseline_of(stage) not in apart:
        return None
    noise = seed_noise(cell for cell in apart.values() if not cell.given)
    cells = [apart[baseline_of(stage)], apart[arm]]
    part = contrast_interval([1.0, -1.0], cells, noise, level=level)
    entry: Document = {
        "size": arm.size,
        "sizes": sizes,
        "profiles": [main.profile, other.profile],
        "falls": {name: estimate(fall) for name, fall in falls.items()},
        "difference_of_falls": estimate(part),
    }
    return entry | {"sentence": sentences.profiles(entry)}


def _apart(arm: Arm, first: dict[int, Counts], second: dict[int, Counts]) -> Cell | None:
    both = sorted(first.keys() & second.keys())
    rates = [passed(first[seed]) - passed(second[seed]) for seed in both]
    return Cell(np.stack(rates), given=arm.size == 0) if rates else None


def contrasts(view: View, delta: float | None) -> list[Document]:
    """Easy − hard and correct − incorrect wherever both arms are there, by stage and size.

    Args:
        delta: the largest difference that is none, as a score; None for a quarter of the arms' mean gain.
    """
    entries: list[Document] = []
    pairs = []
    for axis, better, worse in PAIRS:
        for arm in _ordered(view):
            against = _with(arm, axis, worse)
            first, second = view.cell(arm), view.cell(against)
            if getattr(arm, axis) != better or first is None or second is None:
                continue
            pairs.append(Pair(first, second, view.cell(baseline_of(arm.stage))))
            entries.append(
                {
                    "axis": axis,
                    "pair": [better, worse],
                    "stage": arm.stage,
                    "size": arm.size,
                    "profile": view.profile,
                    "scores": {better: first.score, worse: second.score},
                    "seeds": {better: first.seeds, worse: second.seeds},
                    "seeds_measured": view.noise is not None,
                }
            )
    for entry, found in zip(entries, effects(pairs, view.noise, delta), strict=True):
        entry |= {
            "difference": estimate(found.difference),
            "verdict": found.verdict,
            "p_corrected": found.p,
            "delta": found.delta,
            "smallest_delta": found.smallest_delta,
        }
        entry["sentence"] = sentences.contrast(entry, further_sentences.finding(entry))
    return entries


def contrasts_missing(view: View) -> list[Document]:
    """The planned pairs of which a score is missing."""
    return [
        {
            "axis": axis,
            "pair": [better, worse],
            "stage": arm.stage,
            "size": arm.size,
            "profile": view.profile,
        }
        for axis, better, worse in PAIRS
        for arm in view.planned
        if arm.steps is None and getattr(arm, axis) == better
        if (other := _with(arm, axis, worse)) in view.planned
        if arm not in view.counts or other not in view.counts
    ]


def _with(arm: Arm, axis: str, level: str) -> Arm:
    """The arm with another difficulty or correctness."""
    if axis == "difficulty":
        return replace(arm, difficulty=level)
    return replace(arm, correctness=level)


def _ordered(view: View) -> list[Arm]:
    usual = [arm for arm in view.counts if arm.steps is None]
    return sorted(usual, key=lambda a: (a.stage, a.size, a.difficulty, a.correctness))


def interactions(view: View) -> list[Document]:
    """Of difficulty and correctness where all four arms are there, and of either with the stage."""
    entries: list[Document] = []
    crossed: list[list[Cell]] = []

    def add(of: str, by: str, at: str, arms: list[Arm]) -> None:
        cells = [view.cell(arm) for arm in arms]
        there = [cell for cell in cells if cell is not None]
        if len(there) < len(arms):
            return
        entries.append({"of": of, "by": by, "at": at, "profile": view.profile})
        crossed.append(there)

    for arm in _ordered(view):
        at = counted(arm.size)
        quarters = [
            replace(arm, difficulty=difficulty, correctness=correctness)
            for difficulty in PAIRS[0][1:]
            for correctness in PAIRS[1][1:]
        ]
        if arm == quarters[0]:
            add("difficulty", "correctness", f"stage {arm.stage}, {at}", quarters)
            later = [replace(quarter, stage=arm.stage + 1) for quarter in quarters]
            add("difficulty x correctness", "stage", at, [*quarters, *later])
        for axis, better, worse in PAIRS:
            if getattr(arm, axis) == better:
                pair = [arm, _with(arm, axis, worse)]
                later = [replace(one, stage=arm.stage + 1) for one in pair]
                stages = f"{arm.stage} and {arm.stage + 1}"
                add(axis, "stage", f"stages {stages}, {at}", [*pair, *later])
    for entry, found in zip(entries, interactions_of(crossed, view.noise), strict=True):
        entry["difference_of_differences"] = estimate(found.difference)
        entry["p_corrected"] = found.p
        entry["sentence"] = further_sentences.interaction(entry)
    return entries


RATES: dict[str, Rate] = {
    "completion_rate": lambda counts: counts.completed / counts.samples,
    "think_closed_rate": lambda counts: counts.think_closed / counts.samples,
}


def rate_correlations(view: View) -> list[Document]:
    """Each rate with the sizes and with the scores of the trained arms, over arms without twins."""
    arms = [arm for arm in _ordered(view) if arm.size]
    scores = Measured([c for arm in arms if (c := view.cell(arm)) is not None], view.noise)
    entries: list[Document] = []
    for name, rate in RATES.items():
        cells = [c for arm in arms if (c := cell_of(arm, view.counts[arm], rate)) is not None]
        found = Measured(cells, noise_of(view.counts, rate))
        entry: Document = {"rate": name, "arms": len(arms)}
        for against, other in (("size", [float(arm.size) for arm in arms]), ("score", scores)):
            between = correlation(other, found)
            entry[against] = None if between is None else estimate(between)
        if entry["size"] is not None:
            entries.append(entry | {"sentence": further_sentences.correlation(entry)})
    return entries
