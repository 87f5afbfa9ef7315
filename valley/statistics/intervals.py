"""Intervals of scores, of paired differences, and of weighted sums of more than two cells."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from valley.statistics.scores import LEVEL, Cell, Estimate, Floats, wilson
from valley.statistics.seeds import SeedNoise
from valley.t_distribution import t_quantile


def _seed_half_width(cells: Iterable[Cell], noise: SeedNoise | None, level: float) -> float:
    if noise is None:
        return 0.0
    share = sum(1 / cell.seeds for cell in cells if not cell.given)
    return t_quantile((1 + level) / 2, noise.df) * math.sqrt(noise.variance * share)


def score_interval(cell: Cell, noise: SeedNoise | None = None) -> Estimate:
    """A cell's score, with its interval over problems and, with `noise`, over training seeds.

    It is Wilson's of rates, and Student's of what is not bounded.
    """
    p = cell.score
    if not cell.bounded:
        half = math.hypot(_student(cell.by_problem), _seed_half_width([cell], noise, LEVEL))
        return Estimate(p, p - half, p + half)
    low, high = wilson(cell.by_problem)
    seeds = _seed_half_width([cell], noise, LEVEL)
    return Estimate(
        p, max(0.0, p - math.hypot(p - low, seeds)), min(1.0, p + math.hypot(high - p, seeds))
    )


def _student(values: Floats) -> float:
    """Half of Student's interval of a mean."""
    number = len(values)
    if number < 2:
        return math.inf
    return t_quantile((1 + LEVEL) / 2, number - 1) * float(values.std(ddof=1)) / math.sqrt(number)


def difference(
    a: Cell, b: Cell, noise: SeedNoise | None = None, *, level: float = LEVEL
) -> Estimate:
    """a − b on the same problems, with its paired interval of coverage `level`.

    Newcombe's interval for paired proportions (Statistics in Medicine 17, 1998, method 10): the two
    Wilson intervals combined with the correlation of the cells over problems, to which the half-width
    of the training seeds is added in squares.
    """
    x, y = a.by_problem, b.by_problem
    p, q = float(x.mean()), float(y.mean())
    (p_low, p_high), (q_low, q_high) = wilson(x, level), wilson(y, level)
    scale = float(x.std() * y.std())
    phi = float(((x - p) * (y - q)).mean()) / scale if scale > 1e-12 else 0.0
    seeds = _seed_half_width([a, b], noise, level)

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
    Statistics in Medicine 24, 2005), so that no contrast of rates is without variance; none to what is
    not bounded. The seeds' part has the degrees of freedom of `noise`, the whole Satterthwaite's.
    """
    sums = weights @ np.stack([cell.by_problem for cell in cells])
    problems = sums.shape[1]
    total = sums.sum(axis=1)
    if all(cell.bounded for cell in cells):
        value, squares, number = total / (problems + 2), 1 + (sums**2).sum(axis=1), problems + 2
        over_problems = (squares - total**2 / number) / number**2
    else:
        value = total / problems
        over_problems = sums.var(axis=1, ddof=1) / problems
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
