"""The size curve on metrics beside pass@1: continuous ones, and pass@k of a larger k.

On a continuous metric a rise cannot look sharp only because a program passes whole.

`tests_passed_before_first_failure` is the mean share of a problem's tests that a program passed before
the first it did not: grading stops there, so it is a lower bound of the share that it would pass.
`nll_per_token` is the mean over held-out traces of the negative log-likelihood per response token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import further_sentences as words
import numpy as np
from arms import Arm, Rate, View, baseline_of
from controls import estimate
from results import Counts
from sentences import Document

from valley.statistics import Cell, pass_at_k, score_interval, seed_noise
from valley.statistics.draws import Curve
from valley.statistics.shape import Scale, shape_after


@dataclass(frozen=True)
class Metric:
    """What is measured of a cell's counts, and on which scales the shape of its rise is asked."""

    name: str
    has: Callable[[Counts], bool]
    rate: Rate
    """Where more is better."""
    sign: int
    """What turns `rate` into the metric."""
    scales: tuple[Scale, ...]
    bounded: bool


def _tests(counts: Counts) -> np.ndarray:
    assert counts.tests_passed is not None
    return counts.tests_passed / counts.samples


def _likelihood(counts: Counts) -> np.ndarray:
    assert counts.nll is not None
    return -counts.nll


def pass_at(k: int) -> Metric:
    """Pass@k of answers of which there are k or more per problem."""
    return Metric(
        f"pass@{k}",
        lambda counts: int(counts.samples.min()) >= k,
        lambda counts: pass_at_k(counts.samples, counts.passed, k),
        1,
        ("score", "logit"),
        True,
    )


METRICS = (
    Metric(
        "tests_passed_before_first_failure",
        lambda counts: counts.tests_passed is not None,
        _tests,
        1,
        ("score", "logit"),
        True,
    ),
    Metric(
        "nll_per_token", lambda counts: counts.nll is not None, _likelihood, -1, ("score",), False
    ),
)


def metrics(
    view: View,
    stage: int,
    subset: tuple[str, str],
    trough_size: int,
    measured: Sequence[Metric] = METRICS,
) -> tuple[dict[str, Document], list[str]]:
    """Each metric that the baseline and some sizes of a curve have, by its name.

    Args:
        trough_size: of pass@1: the shape is asked of the same sizes, and of none picked by the metric.

    Returns:
        The metrics, and a sentence for each that some cells have and that cannot be shown.
    """
    found, not_shown = {}, []
    for metric in measured:
        if (document := _metric(metric, view, stage, subset, trough_size)) is not None:
            found[metric.name] = document
        elif any(metric.has(c) for seeds in view.counts.values() for c in seeds.values()):
            why = _why_not_shown(metric, view, stage, subset)
            not_shown.append(words.continuous_not_shown(metric.name, why))
    return found, not_shown


def _why_not_shown(metric: Metric, view: View, stage: int, subset: tuple[str, str]) -> str:
    def measured(arm: Arm) -> bool:
        return any(metric.has(counts) for counts in view.counts.get(arm, {}).values())

    if not measured(baseline_of(stage)):
        return "the baseline has none"
    if not any(map(measured, view.sizes(stage, subset))):
        return "no size of the curve has one"
    return "the baseline and the sizes have fewer than two in common"


def _metric(
    metric: Metric, view: View, stage: int, subset: tuple[str, str], trough_size: int
) -> Document | None:
    sizes = [arm for arm in view.sizes(stage, subset) if arm in view.counts]
    cells, traces = _cells(metric, view, stage, sizes)
    baseline = cells.get(baseline_of(stage))
    there = [(arm.size, cells[arm]) for arm in sizes if arm in cells]
    if baseline is None or not there:
        return None
    noise = seed_noise(cell for cell in cells.values() if not cell.given)
    document: Document = {
        "baseline": _signed(metric.sign, estimate(score_interval(baseline))),
        "curve": [
            {"size": size, **_signed(metric.sign, estimate(score_interval(c, noise)))}
            for size, c in there
        ],
        "counted": baseline.rates.shape[1],
        "left_out": {
            "of_counted": traces - baseline.rates.shape[1],
            "sizes": [arm.size for arm in sizes if arm not in cells],
        },
        "seed_sd": None if noise is None else noise.sd,
        "shape": None,
    }
    curve = Curve(baseline, tuple(size for size, _ in there), tuple(c for _, c in there))
    if trough_size in curve.sizes:
        shape = shape_after(curve, trough_size, noise, metric.scales)
        document["shape"] = {
            "verdict": shape.verdict,
            "sizes": list(shape.sizes),
            "curvature": {c.scale: estimate(c.estimate) | {"p": c.p} for c in shape.curvatures},
        }
    return document | {"sentence": words.continuous(metric.name, document)}


def _cells(metric: Metric, view: View, stage: int, sizes: list[Arm]) -> tuple[dict[Arm, Cell], int]:
    """Arms that have the metric in all problems or traces that the curve has, and how many there are at all.

    Those are the ones that the baseline and every size have that has any; no arm where they are fewer than
    two. Arms beside the curve tell the seeds' noise.
    """
    at_start = view.counts.get(baseline_of(stage), {})
    # What was measured on other held-out traces is no point of one curve.
    same = {(c.held_out, len(metric.rate(c))) for c in at_start.values() if metric.has(c)}
    found = {}
    for arm, seeds in view.counts.items():
        has = [seeds[seed] for seed in sorted(seeds) if metric.has(seeds[seed])]
        if not metric.bounded:
            has = [c for c in has if (c.held_out, len(metric.rate(c))) in same]
        has = [c for c in has if np.isfinite(metric.rate(c)).any()]
        if has:
            samples = min(int(counts.samples.min()) for counts in has)
            found[arm] = np.stack([metric.rate(counts) for counts in has]), samples
    curve = [found[arm][0] for arm in (baseline_of(stage), *sizes) if arm in found]
    if not curve:
        return {}, 0
    everywhere = np.all([np.isfinite(rates).all(axis=0) for rates in curve], axis=0)
    if everywhere.sum() < 2:
        return {}, len(everywhere)
    cells = {
        arm: Cell(rates[:, everywhere], arm.size == 0, samples, metric.bounded)
        for arm, (rates, samples) in found.items()
        if np.isfinite(rates[:, everywhere]).all()
    }
    return cells, len(everywhere)


def _signed(sign: int, found: Document) -> Document:
    bounds = [sign * bound for bound in found["interval"]]
    return {"value": sign * found["value"], "interval": sorted(bounds)}
