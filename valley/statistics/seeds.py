"""The scatter of scores between training seeds: a random effect, pooled over cells."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from valley.statistics.scores import Cell


@dataclass(frozen=True)
class SeedNoise:
    """The variance of a score between training seeds, pooled over cells.

    `variance` is the seeds' own, `raw` includes the sampling noise of the means it was taken from, which
    is `residual` (all squared scores); `df` is the number of seeds less the number of cells.
    """

    variance: float
    raw: float
    df: int
    residual: float = 0.0

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
    return SeedNoise(max(0.0, (raw - residual) / df), raw / df, df, residual / df)
