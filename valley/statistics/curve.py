"""Score against size: is there a valley, where is its trough, and where does the curve recover?

The valley test is an intersection-union of two parts, each one-sided at 5 %: some size i scores below
the baseline (corrected over all sizes), and some larger size j scores above that i (corrected over
all ordered pairs of sizes). Picking the lowest and the highest point first and testing those would
find a valley in a third of all curves that fall and stay flat. The correction is the distribution of
the largest standardised difference over draws of whole problems, the same draws for every cell.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np

from valley.statistics.draws import Curve, deviations
from valley.statistics.intervals import contrasts
from valley.statistics.scores import Cell, Floats
from valley.statistics.seeds import SeedNoise
from valley.t_distribution import NORMAL

ALPHA = 0.05
"""Level of each one-sided part of the valley test."""
NEGLIGIBLE = 0.05
"""A valley shallower than this, as a score, is none: what NO VALLEY has to exclude."""


@dataclass(frozen=True)
class Comparison:
    """One corrected one-sided comparison: is the score at `size` on its side of the one at `other`?

    `other` is 0 for the baseline. `value` is the difference in the direction tested, `upper` its
    simultaneous 95 % upper bound, and `p` is corrected over the comparisons of its family.
    """

    size: int
    other: int
    value: float
    upper: float
    p: float

    @property
    def shown(self) -> bool:
        """Whether the difference is above zero at the family's 5 %."""
        return self.p <= ALPHA


@dataclass(frozen=True)
class ValleyTest:
    """The verdict on a curve and every comparison it rests on.

    `below`: baseline − size. `rises`: larger size − smaller `other`. `above`: size − baseline. `fall`
    and `rise` are the two that show a valley best, where one is shown. `recovered` lists the sizes
    above the baseline that are larger than some size shown below it.
    """

    verdict: Literal["VALLEY", "NO VALLEY", "INCONCLUSIVE"]
    seeds_measured: bool
    below: tuple[Comparison, ...]
    rises: tuple[Comparison, ...]
    above: tuple[Comparison, ...]
    fall: Comparison | None = None
    rise: Comparison | None = None
    recovered: tuple[int, ...] = ()


def valley_test(
    curve: Curve,
    noise: SeedNoise | None = None,
    *,
    ceiling: Curve | None = None,
    draws: int = 10_000,
    seed: int = 0,
    negligible: float = NEGLIGIBLE,
) -> ValleyTest:
    """Test a curve for a valley; the rule is at the module's head.

    Args:
        noise: of training seeds; with None the verdict holds for these checkpoints only.
        ceiling: the same cells at the upper ends of what their scores may be. Each comparison then takes
            the one that should score less from here and the other from `curve`.
        negligible: a fall or rise that NO VALLEY has to exclude, as a score.

    NO VALLEY: at 95 % simultaneous confidence, each size is less than `negligible` below the baseline,
    or no larger size is more than that above it. INCONCLUSIVE: neither is shown, or there are fewer
    than two sizes.
    """
    trained = len(curve.sizes)
    pairs = list(combinations(range(1, trained + 1), 2))
    cells = curve.all_cells if ceiling is None else [*curve.all_cells, *ceiling.all_cells]
    floor = np.eye(len(cells))
    top = floor if ceiling is None else floor[trained + 1 :]
    trained_rows = slice(1, trained + 1)
    deviation = deviations(cells, noise, draws, seed, copies=1 if ceiling is None else 2)
    compare = _Comparer(cells, noise, deviation)
    against = [(size, 0) for size in curve.sizes]
    below = compare(against, floor[:1] - top[trained_rows])
    above = compare(against, floor[trained_rows] - top[:1])
    steps = [(curve.sizes[j - 1], curve.sizes[i - 1]) for i, j in pairs]
    rises = compare(steps, np.array([floor[j] - top[i] for i, j in pairs]))
    test = ValleyTest("INCONCLUSIVE", noise is not None, below, rises, above)
    if trained < 2:
        return test

    fall_at = {fall.size: fall for fall in below}
    shown = [(fall_at[r.other], r) for r in rises if r.shown and fall_at[r.other].shown]
    if shown:
        fall, rise = max(shown, key=lambda pair: min(pair[0].value, pair[1].value))
        lowest = min(pair[0].size for pair in shown)
        recovered = tuple(c.size for c in above if c.shown and c.size > lowest)
        return replace(test, verdict="VALLEY", fall=fall, rise=rise, recovered=recovered)

    def excluded(fall: Comparison) -> bool:
        highest = max((r.upper for r in rises if r.other == fall.size), default=-math.inf)
        return min(fall.upper, highest) < negligible

    return replace(test, verdict="NO VALLEY") if all(map(excluded, below)) else test


@dataclass(frozen=True)
class _Comparer:
    """Tests families of contrasts of the same cells for being above zero."""

    cells: list[Cell]
    noise: SeedNoise | None
    deviations: Floats

    def __call__(self, names: list[tuple[int, int]], weights: Floats) -> tuple[Comparison, ...]:
        """Test each row of `weights`, corrected over the rows by the largest of each draw.

        Each t has its own degrees of freedom, so it is compared as the normal deviate of equal
        probability.
        """
        if not names:
            return ()
        rows = contrasts(weights, self.cells, self.noise)
        largest = largest_deviates(self.deviations, weights)
        # Where no problem tells any two cells apart, draws do not say how the largest varies.
        all_equal = not largest.any()
        critical = (
            NORMAL.inv_cdf(1 - ALPHA / len(names))
            if all_equal
            else float(np.quantile(largest, 1 - ALPHA))
        )
        as_large = len(largest) - np.searchsorted(largest, rows.deviates())
        p = ((as_large + 1) / (len(largest) + 1)).tolist()
        upper = (rows.value + rows.half_widths(NORMAL.cdf(critical))).tolist()
        found = zip(names, rows.value.tolist(), upper, p, strict=True)
        return tuple(Comparison(size, other, *numbers) for (size, other), *numbers in found)


def largest_deviates(deviations: Floats, weights: Floats) -> Floats:
    """The largest standardised contrast of each draw, ascending; what many comparisons are held to."""
    # Scales from the cells' covariances: the contrasts of all draws are hundreds of times as many numbers.
    covariances = np.atleast_2d(np.cov(deviations, rowvar=False, bias=True))
    variances = ((weights @ covariances) * weights).sum(axis=1)
    # What remains of cells that no problem tells apart is rounding.
    apart = variances > 1e-12 * covariances.diagonal().max(initial=0.0)
    scales = np.sqrt(np.where(apart, variances, np.inf))
    return np.sort((deviations @ (weights / scales[:, None]).T).max(axis=1))


def overturning_seed_sd(curve: Curve, *, draws: int = 10_000, seed: int = 0) -> float:
    """The smallest seed SD, as a score, at which a VALLEY of one seed would no longer be shown.

    To one part in a hundred; 0 where the verdict is not VALLEY to begin with.
    """

    def stands(sd: float) -> bool:
        known = SeedNoise(variance=sd**2, raw=0.0, df=1_000_000)
        return valley_test(curve, known, draws=draws, seed=seed).verdict == "VALLEY"

    if not stands(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while high - low > 0.01 * high and high > 1e-4:
        middle = (low + high) / 2
        low, high = (middle, high) if stands(middle) else (low, middle)
    return low
