"""Intervals of scores, of paired differences, and of weighted sums of more than two cells."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from valley.statistics.few_seeds import FEW, Mixture, mixture
from valley.statistics.scores import LEVEL, Cell, Estimate, Floats, wilson
from valley.statistics.seeds import SeedNoise
from valley.t_distribution import NORMAL, normal_deviates, t_cdf, t_quantile

LEAST_VARIANCE = 1e-18
"""Of what does not vary at all, so that it can be divided by."""
FEW_TELLING = 20
"""Answers that tell two cells apart, below which Newcombe's interval is too short in simulations."""


def _with_seeds(
    half_width: float, cells: Iterable[Cell], noise: SeedNoise | None, level: float
) -> float:
    """Half an interval over problems, widened by the training seeds of its cells."""
    share = sum(1 / cell.seeds for cell in cells if not cell.given)
    if noise is None or share == 0:
        return half_width
    probability = (1 + level) / 2
    if noise.df >= FEW:
        seeds = t_quantile(probability, noise.df) * math.sqrt(noise.variance * share)
        return math.hypot(half_width, seeds)
    over_problems = (half_width / NORMAL.inv_cdf(probability)) ** 2
    found = mixture(np.array([over_problems + LEAST_VARIANCE]), np.array([share]), noise)
    return float(found.quantiles(probability)[0])


def score_interval(cell: Cell, noise: SeedNoise | None = None) -> Estimate:
    """A cell's score, with its interval over problems and, with `noise`, over training seeds.

    It is Wilson's of rates, and Student's of what is not bounded.
    """
    p = cell.score
    if not cell.bounded:
        half = _with_seeds(_student(cell.by_problem), [cell], noise, LEVEL)
        return Estimate(p, p - half, p + half)
    low, high = wilson(cell.by_problem)
    below, above = (_with_seeds(half, [cell], noise, LEVEL) for half in (p - low, high - p))
    return Estimate(p, max(0.0, p - below), min(1.0, p + above))


def _student(values: Floats) -> float:
    """Half of Student's interval of a mean."""
    number = len(values)
    if number < 2:
        return math.inf
    return t_quantile((1 + LEVEL) / 2, number - 1) * float(values.std(ddof=1)) / math.sqrt(number)


def difference(
    a: Cell, b: Cell, noise: SeedNoise | None = None, *, level: float = LEVEL
) -> Estimate:
    """a − b, two cells of rates on the same problems, with its paired interval of coverage `level`.

    Over problems it is Newcombe's; Tango's where so few answers tell the cells apart that Newcombe's would be
    too short. The half-width of the training seeds is added in squares.
    """
    gaps = a.by_problem - b.by_problem
    value = float(gaps.mean())
    of_problems = _tango(gaps, level) if _telling(gaps) < FEW_TELLING else _newcombe(a, b, level)
    below, above = (_with_seeds(half, [a, b], noise, level) for half in of_problems)
    return Estimate(value, max(-1.0, value - below), min(1.0, value + above))


def _newcombe(a: Cell, b: Cell, level: float) -> tuple[float, float]:
    """Both halves of Newcombe's interval for paired proportions.

    The two Wilson intervals combined with the correlation of the cells over problems (Statistics in Medicine
    17, 1998, method 10). Near a correlation of 1 little is left of it, so each half is as long at least as
    that of `contrasts`.
    """
    x, y = a.by_problem, b.by_problem
    p, q = float(x.mean()), float(y.mean())
    (p_low, p_high), (q_low, q_high) = wilson(x, level), wilson(y, level)
    scale = float(x.std() * y.std())
    phi = float(((x - p) * (y - q)).mean()) / scale if scale > 1e-12 else 0.0
    rows = contrasts(np.array([[1.0, -1.0]]), [a, b])
    least = float(rows.half_widths((1 + level) / 2)[0])

    def half(first: float, second: float) -> float:
        squared = first**2 - 2 * phi * first * second + second**2
        return max(least, math.sqrt(max(0.0, squared)))

    return half(p - p_low, q_high - q), half(p_high - p, q - q_low)


def _telling(gaps: Floats) -> float:
    """How many answers tell two cells apart: differences of rates as pairs of single answers."""
    return float(np.abs(gaps).mean()) * _pairs(gaps)


def _pairs(gaps: Floats) -> float:
    """The number of pairs of single answers whose differences vary as these do; of problems without variance."""
    mean, apart = float(gaps.mean()), float(np.abs(gaps).mean())
    variance = float(gaps.var(ddof=1)) / len(gaps) if len(gaps) > 1 else 0.0
    return (apart - mean**2) / variance if variance > 1e-12 else float(len(gaps))


def _tango(gaps: Floats, level: float) -> tuple[float, float]:
    """Both halves of Tango's score interval of a mean of paired differences of rates, [problems].

    It holds each difference against the variance that there would be if it were the true one (Statistics in
    Medicine 17, 1998), so it is long enough where only problems that one of the two loses tell them apart.
    """
    mean, apart = float(gaps.mean()), float(np.abs(gaps).mean())
    if len(gaps) < 2:
        return mean + 1, 1 - mean
    pairs = _pairs(gaps)
    z2 = t_quantile((1 + level) / 2, len(gaps) - 1) ** 2

    def possible(true: float) -> bool:
        # The share of pairs that only the second passes, by the restricted likelihood.
        linear = (2 - mean) * true - apart
        root = linear**2 + 4 * (apart - mean) * true * (1 - true)
        lost = (math.sqrt(max(0.0, root)) - linear) / 4
        return (mean - true) ** 2 <= z2 * (2 * lost + true * (1 - true)) / pairs

    def half(beyond: float) -> float:
        inside = mean
        for _ in range(50):
            middle = (inside + beyond) / 2
            inside, beyond = (middle, beyond) if possible(middle) else (inside, middle)
        return abs(inside - mean)

    return half(-1.0), half(1.0)


@dataclass(frozen=True)
class Contrasts:
    """Weighted sums of cells' scores: estimates, standard errors and degrees of freedom, [contrasts].

    Where seed noise has few degrees of freedom, `few` has what the values scatter by instead.
    """

    value: Floats
    standard_error: Floats
    df: Floats
    few: Mixture | None = None

    def deviates(self) -> Floats:
        """Normal deviates as improbable, were nothing there, as the values: comparable to each other."""
        if self.few is not None:
            return self.few.deviates(self.value)
        return normal_deviates(self.value / self.standard_error, self.df)

    def p_above(self, values: Floats) -> Floats:
        """One-sided p of such values being above zero; 1 less it is that of their being below."""
        if self.few is not None:
            return np.array([NORMAL.cdf(-z) for z in self.few.deviates(values).tolist()])
        pairs = zip((-values / self.standard_error).tolist(), self.df.tolist(), strict=True)
        return np.array([t_cdf(t, df) for t, df in pairs])

    def half_widths(self, probability: float) -> Floats:
        """How far each value lies from its truth at most, to one side, with this probability."""
        if self.few is not None:
            return self.few.quantiles(probability)
        # To two digits of df, so that few quantiles have to be computed.
        t = [t_quantile(probability, float(f"{df:.2g}")) for df in self.df.tolist()]
        return np.array(t) * self.standard_error


def contrasts(weights: Floats, cells: list[Cell], noise: SeedNoise | None = None) -> Contrasts:
    """Sums of cells' scores with weights of shape [contrasts, cells] that sum to 0 in each row.

    Over problems two pseudo-problems that show half a difference each way are added (Agresti and Min,
    Statistics in Medicine 24, 2005), so that no contrast of rates is without variance; none to what is
    not bounded. The seeds' part has the degrees of freedom of `noise`, the whole Satterthwaite's; where
    `noise` has few, see `few_seeds.py`.
    """
    sums = weights @ np.stack([cell.by_problem for cell in cells])
    problems = sums.shape[1]
    total = sums.sum(axis=1)
    if all(cell.bounded for cell in cells):
        value, squares, number = total / (problems + 2), 1 + (sums**2).sum(axis=1), problems + 2
        over_problems = (squares - total**2 / number) / number**2
    else:
        value = total / problems
        over_problems = sums.var(axis=1, ddof=1) / problems + LEAST_VARIANCE
    share = weights**2 @ np.array([0.0 if cell.given else 1 / cell.seeds for cell in cells])
    over_seeds = share * (noise.variance if noise else 0.0)
    variance = over_problems + over_seeds
    spread = over_problems**2 / max(1, problems - 1)
    few = None
    if noise is not None:
        spread = spread + (share * noise.raw) ** 2 / noise.df
        if noise.df < FEW:
            students = t_quantile(0.975, max(1, problems - 1)) / NORMAL.inv_cdf(0.975)
            few = mixture(over_problems * students**2, share, noise)
    return Contrasts(value, np.sqrt(variance), variance**2 / spread, few)


def contrast_interval(
    weights: ArrayLike,
    cells: list[Cell],
    noise: SeedNoise | None = None,
    *,
    level: float = LEVEL,
) -> Estimate:
    """One contrast of more than two cells, such as a difference of differences, with its interval."""
    row = contrasts(np.asarray(weights, dtype=float)[None, :], cells, noise)
    value, half = float(row.value[0]), float(row.half_widths((1 + level) / 2)[0])
    return Estimate(value, value - half, value + half)
