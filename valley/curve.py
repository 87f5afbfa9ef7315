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
from functools import lru_cache
from itertools import combinations
from typing import Literal

import numpy as np

from valley.statistics import LEVEL, Cell, Estimate, Floats, SeedNoise, contrasts
from valley.t_distribution import NORMAL, t_cdf, t_quantile

ALPHA = 0.05
"""Level of each one-sided part of the valley test."""
NEGLIGIBLE = 0.05
"""A valley shallower than this, as a score, is none: what NO VALLEY has to exclude."""


@dataclass(frozen=True)
class Curve:
    """A baseline and the cells trained from it, in ascending order of their sizes (traces)."""

    baseline: Cell
    sizes: tuple[int, ...]
    cells: tuple[Cell, ...]

    @property
    def all_cells(self) -> list[Cell]:
        """The baseline, then the trained cells: the columns that weights refer to."""
        return [self.baseline, *self.cells]


@lru_cache(maxsize=4)
def problem_draws(problems: int, draws: int = 10_000, seed: int = 0) -> Floats:
    """Bootstrap weights of whole problems, shape [draws, problems], each row summing to 1.

    One matrix serves all cells, so that `draws @ rates` resamples the same problems everywhere.
    """
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(problems, np.full(problems, 1 / problems), size=draws) / problems
    weights.flags.writeable = False
    return weights


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
    draws: int = 10_000,
    seed: int = 0,
    negligible: float = NEGLIGIBLE,
) -> ValleyTest:
    """Test a curve for a valley; the rule is at the module's head.

    NO VALLEY: at 95 % simultaneous confidence, each size is less than `negligible` below the baseline,
    or no larger size is more than that above it. INCONCLUSIVE: neither is shown, or there are fewer
    than two sizes. With `noise` None the verdict holds for these checkpoints only.
    """
    trained = len(curve.sizes)
    pairs = list(combinations(range(trained), 2))
    identity = np.eye(trained + 1)
    to_baseline = identity[:1] - identity[1:]
    rising = np.array([identity[j + 1] - identity[i + 1] for i, j in pairs])
    deviations = _deviations(curve, noise, draws, seed)
    against = [(size, 0) for size in curve.sizes]
    steps = [(curve.sizes[j], curve.sizes[i]) for i, j in pairs]
    below = _compare(against, to_baseline, curve, noise, deviations)
    above = _compare(against, -to_baseline, curve, noise, deviations)
    rises = _compare(steps, rising, curve, noise, deviations)
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


def _deviations(curve: Curve, noise: SeedNoise | None, draws: int, seed: int) -> Floats:
    """Draws of every cell's score less the score, [draws, cells]: resampled problems, normal seeds."""
    means = np.stack([cell.by_problem for cell in curve.all_cells], axis=1)
    deviations = problem_draws(len(means), draws, seed) @ means - means.mean(axis=0)
    if noise is not None:
        rng = np.random.default_rng([seed, 1])
        deviations = deviations + rng.standard_normal(deviations.shape) * _seed_sds(curve, noise)
    return deviations


def _seed_sds(curve: Curve, noise: SeedNoise) -> Floats:
    return np.array([0.0 if c.given else noise.sd / math.sqrt(c.seeds) for c in curve.all_cells])


def _compare(
    names: list[tuple[int, int]],
    weights: Floats,
    curve: Curve,
    noise: SeedNoise | None,
    deviations: Floats,
) -> tuple[Comparison, ...]:
    """Test each row of `weights` for being above zero, corrected over the rows by the largest draw.

    Each t has its own degrees of freedom, so it is compared as the normal deviate of equal
    probability.
    """
    if not names:
        return ()
    rows = contrasts(weights, curve.all_cells, noise)
    spread = deviations @ weights.T
    scale = spread.std(axis=0)
    largest = np.sort((spread / np.where(scale > 0, scale, np.inf)).max(axis=1))
    critical = float(np.quantile(largest, 1 - ALPHA))
    comparisons = []
    for (size, other), value, se, df in zip(
        names, rows.value.tolist(), rows.standard_error.tolist(), rows.df.tolist(), strict=True
    ):
        deviate = NORMAL.inv_cdf(min(max(t_cdf(value / se, df), 1e-12), 1 - 1e-12))
        as_large = len(largest) - int(np.searchsorted(largest, deviate))
        upper = value + t_quantile(NORMAL.cdf(critical), round(df, 1)) * se
        comparisons.append(
            Comparison(size, other, value, upper, (as_large + 1) / (len(largest) + 1))
        )
    return tuple(comparisons)


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


@dataclass(frozen=True)
class Landmarks:
    """Where a curve is lowest and where it crosses its baseline again, with 95 % intervals.

    `trough_size` with (low, high) in traces. `depth` is baseline − trough, a score; negative where no
    size is below the baseline. `recovery_size` is in traces, infinite where the curve has not
    crossed the baseline up to its largest size, None where it was never below. `recovery_defined`
    is the fraction of draws with a size below the baseline; its interval is over those.
    """

    trough_size: int
    trough_range: tuple[int, int]
    depth: Estimate
    recovery_size: float | None
    recovery_range: tuple[float, float] | None
    recovery_defined: float


def landmarks(
    curve: Curve, noise: SeedNoise | None = None, *, draws: int = 10_000, seed: int = 0
) -> Landmarks:
    """Trough, depth and recovery of a curve with at least one size.

    Each draw of problems (and, with `noise`, of seeds) goes through the whole procedure. The depth's
    interval is bias-corrected, since the lowest of several points is lower than its expectation;
    the sizes' intervals are percentiles.
    """
    scores = np.array([[cell.score for cell in curve.all_cells]])
    drawn = scores + _deviations(curve, None, draws, seed)
    if noise is not None:
        rng = np.random.default_rng([seed, 2])
        t = rng.standard_normal(drawn.shape) * np.sqrt(
            noise.df / rng.chisquare(noise.df, (draws, 1))
        )
        drawn = drawn + t * _seed_sds(curve, noise)
    lowest, depth, crossing = _procedure(scores, curve.sizes)
    lowest_drawn, depth_drawn, crossing_drawn = _procedure(drawn, curve.sizes)
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]

    depth_drawn = np.sort(depth_drawn)
    value = float(depth[0])
    ties = np.searchsorted(depth_drawn, [value - 1e-12, value + 1e-12]).mean() / draws
    bias = NORMAL.inv_cdf(min(max(float(ties), 1 / draws), 1 - 1 / draws))
    corrected = [NORMAL.cdf(2 * bias + NORMAL.inv_cdf(tail)) for tail in tails]
    depth_low, depth_high = np.quantile(depth_drawn, corrected).tolist()

    sizes = np.array(curve.sizes)
    trough_low, trough_high = np.quantile(lowest_drawn, tails, method="inverted_cdf")
    defined = crossing_drawn[~np.isnan(crossing_drawn)]
    never_below = math.isnan(crossing[0])
    crossings = (
        None
        if never_below or not len(defined)
        else np.exp(np.quantile(defined, tails, method="inverted_cdf")).tolist()
    )
    return Landmarks(
        trough_size=int(sizes[lowest[0]]),
        trough_range=(int(sizes[trough_low]), int(sizes[trough_high])),
        depth=Estimate(value, depth_low, depth_high),
        recovery_size=None if never_below else math.exp(crossing[0]),
        recovery_range=None if crossings is None else (crossings[0], crossings[1]),
        recovery_defined=len(defined) / draws,
    )


def _procedure(scores: Floats, sizes: tuple[int, ...]) -> tuple[np.ndarray, Floats, Floats]:
    """Index of the lowest size, depth, and log size of the recovery of each row of [rows, 1 + sizes].

    The recovery is the first crossing of the baseline after the lowest size, linear between
    neighbours in log size; infinite without one, NaN where no size is below the baseline.
    """
    baseline, trained = scores[:, :1], scores[:, 1:]
    lowest = trained.argmin(axis=1)
    depth = baseline[:, 0] - trained.min(axis=1)
    recovery = np.where(depth > 0, np.inf, np.nan)
    log_sizes = np.log(np.array(sizes, dtype=float))
    gaps = trained - baseline
    for left in reversed(range(len(sizes) - 1)):  # so that the first crossing is written last
        crosses = (left >= lowest) & (gaps[:, left] < 0) & (gaps[:, left + 1] >= 0)
        low, high = gaps[crosses, left], gaps[crosses, left + 1]
        width = log_sizes[left + 1] - log_sizes[left]
        recovery[crosses] = log_sizes[left] + width * low / (low - high)
    return lowest, depth, recovery
