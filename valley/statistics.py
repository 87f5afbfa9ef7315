"""Scores with their uncertainty: pass@k, intervals over problems and training seeds, differences.

The estimand is the mean pass rate over the population that the problems were drawn from and over
training seeds. So:

- A *problem* is the unit that is resampled. Samples of one problem are never resampled: their noise
  is already inside the problem's count.
- A *training seed* is a random effect. Its variance is estimated from cells with several seeds and
  pooled over them (`seed_noise`); where no cell has two, it is unmeasured, and an interval is
  conditional on its checkpoints.
- Differences are *paired*: all cells answer the same problems in the same order.

Intervals are Wilson's with an effective number of problems, which the simulations in the tests find
at their nominal coverage where percentile and BCa bootstraps fall short (few successes). Curves and
the valley test are in `curve.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from valley.errors import UserError
from valley.t_distribution import t_quantile

Floats = NDArray[np.float64]

LEVEL = 0.95
"""Coverage of every interval."""


def pass_at_k(samples: ArrayLike, passed: ArrayLike, k: int) -> Floats:
    """The unbiased estimate of pass@k of each problem: 1 − C(n−c, k) / C(n, k).

    >>> pass_at_k([2, 2, 2], [0, 1, 2], k=1).tolist()
    [0.0, 0.5, 1.0]

    Args:
        samples: n of each problem, shape [problems].
        passed: c of each problem, shape [problems].
        k: Samples that may be tried.

    Raises:
        UserError: k is below 1, or a problem has fewer than k samples.
    """
    n = np.asarray(samples, dtype=np.int64)
    c = np.asarray(passed, dtype=np.int64)
    if k < 1 or (n.size and n.min() < k):
        raise UserError(f"pass@{k} needs 1 <= k <= samples; the fewest samples are {n.min()}")
    failing = np.ones(n.shape)
    for i in range(k):  # C(n−c, k) / C(n, k) as a product, which cannot overflow
        failing *= np.maximum(n - c - i, 0) / (n - i)
    return 1.0 - failing


@dataclass(frozen=True)
class Cell:
    """One point of a grid, as the pass rates of its checkpoints on each problem.

    `rates` has the shape [seeds, problems]. A `given` cell is one checkpoint that everything starts
    from, a baseline: it has no training seed to vary.
    """

    rates: Floats
    given: bool = False

    @property
    def seeds(self) -> int:
        """The number of training seeds."""
        return len(self.rates)

    @property
    def by_problem(self) -> Floats:
        """The mean over seeds, shape [problems]."""
        return self.rates.mean(axis=0)

    @property
    def score(self) -> float:
        """The mean over seeds and problems."""
        return float(self.rates.mean())


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class SeedNoise:
    """The variance of a score between training seeds, pooled over cells.

    `variance` is the seeds' own, `raw` includes the sampling noise of the means it was taken from
    (both squared scores); `df` is the number of seeds less the number of cells.
    """

    variance: float
    raw: float
    df: int

    @property
    def sd(self) -> float:
        """The standard deviation of a score between training seeds."""
        return math.sqrt(self.variance)


def seed_noise(cells: Iterable[Cell]) -> SeedNoise | None:
    """Pool the variance between training seeds over cells with two or more; None without any.

    The two-way analysis of variance of a cell's [seeds, problems] splits the variance of the seeds'
    means into the seeds' own and the residual's. Only the first is added to the variance over
    problems, which contains the second already. Pooling assumes that all cells scatter alike. So cells
    whose seeds all gave the very same answers are left out: there was nothing for a seed to change (a
    training set of one batch, a score of all or nothing), which says nothing of the others.
    """
    raw = residual = 0.0
    df = 0
    for cell in cells:
        seeds, problems = cell.rates.shape
        if seeds < 2 or problems < 2 or (cell.rates == cell.rates[0]).all():
            continue
        means = cell.rates.mean(axis=1)
        rest = cell.rates - means[:, None] - cell.by_problem + cell.score
        raw += float(((means - cell.score) ** 2).sum())
        residual += float((rest**2).sum()) / (problems - 1) / problems
        df += seeds - 1
    if df == 0:
        return None
    return SeedNoise(max(0.0, (raw - residual) / df), raw / df, df)


def _seed_half_width(cells: Iterable[Cell], noise: SeedNoise | None) -> float:
    if noise is None:
        return 0.0
    share = sum(1 / cell.seeds for cell in cells if not cell.given)
    return t_quantile((1 + LEVEL) / 2, noise.df) * math.sqrt(noise.variance * share)


def wilson(rates: Floats) -> tuple[float, float]:
    """Wilson's interval of a mean of rates in [0, 1] over problems, shape [problems].

    The effective number of problems is that of the binomial whose variance is the observed one. With
    all rates equal there is no variance to go by, and it is the number of problems.
    """
    problems = len(rates)
    p = float(rates.mean())
    if problems < 2:
        return 0.0, 1.0
    variance = float(rates.var(ddof=1)) / problems
    n = p * (1 - p) / variance if variance > 1e-12 else float(problems)
    z2 = t_quantile((1 + LEVEL) / 2, problems - 1) ** 2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))


def score_interval(cell: Cell, noise: SeedNoise | None = None) -> Estimate:
    """A cell's score, with its interval over problems and, with `noise`, over training seeds."""
    p = cell.score
    low, high = wilson(cell.by_problem)
    seeds = _seed_half_width([cell], noise)
    return Estimate(
        p, max(0.0, p - math.hypot(p - low, seeds)), min(1.0, p + math.hypot(high - p, seeds))
    )


def difference(a: Cell, b: Cell, noise: SeedNoise | None = None) -> Estimate:
    """a − b on the same problems, with its paired interval.

    Newcombe's interval for paired proportions (Statistics in Medicine 17, 1998, method 10): the two
    Wilson intervals combined with the correlation of the cells over problems, to which the half-width
    of the training seeds is added in squares.
    """
    x, y = a.by_problem, b.by_problem
    p, q = float(x.mean()), float(y.mean())
    (p_low, p_high), (q_low, q_high) = wilson(x), wilson(y)
    scale = float(x.std() * y.std())
    phi = float(((x - p) * (y - q)).mean()) / scale if scale > 1e-12 else 0.0
    seeds = _seed_half_width([a, b], noise)

    def half_width(first: float, second: float) -> float:
        squared = first**2 - 2 * phi * first * second + second**2
        return math.hypot(math.sqrt(max(0.0, squared)), seeds)

    low, high = half_width(p - p_low, q_high - q), half_width(p_high - p, q - q_low)
    return Estimate(p - q, max(-1.0, p - q - low), min(1.0, p - q + high))


@dataclass(frozen=True)
class Contrasts:
    """Weighted sums of cells' scores: estimates, standard errors and degrees of freedom, [contrasts]."""

    value: Floats
    standard_error: Floats
    df: Floats


def contrasts(weights: Floats, cells: list[Cell], noise: SeedNoise | None = None) -> Contrasts:
    """Sums of cells' scores with weights of shape [contrasts, cells] that sum to 0 in each row.

    Over problems two pseudo-problems that show half a difference each way are added (Agresti and Min,
    Statistics in Medicine 24, 2005), so that no contrast is without variance. The seeds' part has
    the degrees of freedom of `noise`, the whole Satterthwaite's.
    """
    sums = weights @ np.stack([cell.by_problem for cell in cells])
    problems = sums.shape[1]
    total = sums.sum(axis=1)
    value = total / (problems + 2)
    over_problems = ((sums**2).sum(axis=1) + 1 - total**2 / (problems + 2)) / (problems + 2) ** 2
    share = weights**2 @ np.array([0.0 if cell.given else 1 / cell.seeds for cell in cells])
    over_seeds = share * (noise.variance if noise else 0.0)
    variance = over_problems + over_seeds
    spread = over_problems**2 / max(1, problems - 1)
    if noise is not None and noise.df:
        spread = spread + (share * noise.raw) ** 2 / noise.df
    return Contrasts(value, np.sqrt(variance), variance**2 / spread)


def contrast_interval(
    weights: ArrayLike, cells: list[Cell], noise: SeedNoise | None = None
) -> Estimate:
    """One contrast of more than two cells, such as a difference of differences, with its interval."""
    row = contrasts(np.asarray(weights, dtype=float)[None, :], cells, noise)
    half = t_quantile((1 + LEVEL) / 2, float(row.df[0])) * float(row.standard_error[0])
    return Estimate(float(row.value[0]), float(row.value[0]) - half, float(row.value[0]) + half)
