"""The size curve on continuous metrics, where a rise cannot look sharp only because a program passes whole.

`tests_passed_before_first_failure` is the mean share of a problem's tests that a program passed before
the first it did not: grading stops there, so it is a lower bound of the share that it would pass.
`nll_per_token` is the mean over held-out traces of the negative log-likelihood per response token.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import further_sentences as words
import numpy as np
from arms import Arm, Rate, View, baseline_of
from controls import estimate
from results import Counts
from sentences import Document

from valley.statistics import Cell, score_interval, seed_noise
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
    view: View, stage: int, subset: tuple[str, str], trough_size: int
) -> dict[str, Document]:
    """Each metric that the baseline and some sizes of a curve have, by its name.

    Args:
        trough_size: of pass@1: the shape is asked of the same sizes, and of none picked by the metric.
    """
    found = {m.name: _metric(m, view, stage, subset, trough_size) for m in METRICS}
    return {name: document for name, document in found.items() if document is not None}


def _metric(
    metric: Metric, view: View, stage: int, subset: tuple[str, str], trough_size: int
) -> Document | None:
    at_start = view.counts.get(baseline_of(stage), {})
    # What was measured on other held-out traces is no point of one curve.
    same = {counts.held_out for counts in at_start.values()}

    def cell(arm: Arm) -> Cell | None:
        there = view.counts.get(arm, {})
        seeds = [there[seed] for seed in sorted(there) if metric.has(there[seed])]
        if not metric.bounded:
            seeds = [counts for counts in seeds if counts.held_out in same]
        if not seeds:
            return None
        rates = np.stack([metric.rate(counts) for counts in seeds])
        samples = min(int(counts.samples.min()) for counts in seeds)
        return Cell(rates, given=arm.size == 0, samples=samples, bounded=metric.bounded)

    baseline = cell(baseline_of(stage))
    there = [(arm.size, c) for arm in view.sizes(stage, subset) if (c := cell(arm)) is not None]
    if baseline is None or not there:
        return None
    noise = seed_noise(c for arm in view.counts if (c := cell(arm)) is not None and not c.given)
    document: Document = {
        "baseline": _signed(metric.sign, estimate(score_interval(baseline))),
        "curve": [
            {"size": size, **_signed(metric.sign, estimate(score_interval(c, noise)))}
            for size, c in there
        ],
        "counted": baseline.rates.shape[1],
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


def _signed(sign: int, found: Document) -> Document:
    bounds = [sign * bound for bound in found["interval"]]
    return {"value": sign * found["value"], "interval": sorted(bounds)}
