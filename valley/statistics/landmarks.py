"""Where a curve is lowest, how deep that is, and where it crosses its baseline again."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from valley.statistics.draws import Curve, deviations, seed_sds
from valley.statistics.few_seeds import FEW, variances_of
from valley.statistics.intervals import difference
from valley.statistics.scores import LEVEL, Estimate, Floats
from valley.statistics.seeds import SeedNoise
from valley.t_distribution import NORMAL


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
    drawn = scores + deviations(curve.all_cells, None, draws, seed)
    if noise is not None:
        rng = np.random.default_rng([seed, 2])
        moved = rng.standard_normal(drawn.shape)
        chi_squares = rng.chisquare(noise.df, (draws, 1))
        if noise.df < FEW:
            of_one = np.sqrt([0.0 if c.given else 1 / c.seeds for c in curve.all_cells])
            moved *= np.sqrt(variances_of(noise, chi_squares)) * of_one
        else:
            moved *= np.sqrt(noise.df / chi_squares) * seed_sds(curve.all_cells, noise)
        drawn = np.clip(drawn + moved, 0.0, 1.0)
    lowest, depth, crossing = _procedure(scores, curve.sizes)
    lowest_drawn, depth_drawn, crossing_drawn = _procedure(drawn, curve.sizes)
    tails = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]

    depth_drawn = np.sort(depth_drawn)
    value = float(depth[0])
    ties = np.searchsorted(depth_drawn, [value - 1e-12, value + 1e-12]).mean() / draws
    bias = NORMAL.inv_cdf(min(max(float(ties), 1 / draws), 1 - 1 / draws))
    corrected = [NORMAL.cdf(2 * bias + NORMAL.inv_cdf(tail)) for tail in tails]
    depth_low, depth_high = np.quantile(depth_drawn, corrected).tolist()
    ends = curve.baseline, curve.cells[lowest[0]]
    apart = ends[0].by_problem - ends[1].by_problem
    if any(np.ptp(rates) == 0 for rates in (apart, *(cell.by_problem for cell in ends))):
        # Draws of problems that are all alike never differ, though other problems might.
        paired = difference(*ends, noise)
        depth_low, depth_high = min(depth_low, paired.low), max(depth_high, paired.high)

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
