"""Rank correlation of what cells show, such as completion rate and score, or completion rate and size.

Sizes are chosen and not drawn, so the interval is of the measurement alone: whole problems (and training
seeds) are drawn again, the same for all cells. It says how well the correlation among these cells is
known, and nothing of cells that were not run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from valley.statistics.draws import deviations
from valley.statistics.scores import LEVEL, Cell, Estimate, Floats
from valley.statistics.seeds import SeedNoise

LEAST_CELLS = 4


@dataclass(frozen=True)
class Measured:
    """One metric of several cells, with the noise of its training seeds."""

    cells: Sequence[Cell]
    noise: SeedNoise | None = None

    def rows(self, draws: int, seed: int, stream: int) -> Floats:
        """The metric's values, and then draws of them, [1 + draws, cells]."""
        scores = np.array([[cell.score for cell in self.cells]])
        drawn = scores + deviations(list(self.cells), self.noise, draws, seed, stream=stream)
        return np.concatenate([scores, drawn])


def correlation(
    first: Measured | Sequence[float], second: Measured, *, draws: int = 2000, seed: int = 0
) -> Estimate | None:
    """Spearman's correlation over cells, None of fewer than four or where either side is constant.

    Both metrics' problems are drawn together; their seeds are taken to be independent.

    Args:
        first: a metric, or sizes (traces).
    """
    if len(second.cells) < LEAST_CELLS:
        return None
    if isinstance(first, Measured):
        x = first.rows(draws, seed, stream=2)
    else:
        x = np.broadcast_to(np.asarray(first, dtype=float), (1 + draws, len(first)))
    found = _spearman(x, second.rows(draws, seed, stream=1))
    if np.isnan(found[0]):
        return None
    low, high = np.nanquantile(found[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    value = float(found[0])
    return Estimate(value, min(low, value), max(high, value))


def _spearman(x: Floats, y: Floats) -> Floats:
    """Of each row of two [rows, cells]; NaN where a row is constant."""
    a, b = _ranks(x), _ranks(y)
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return (a * b).sum(axis=1) / np.where(scale > 0, scale, np.nan)


def _ranks(values: Floats) -> Floats:
    """Ranks in each row less their mean; ties share theirs."""
    ranks = np.zeros(values.shape)
    for column in range(values.shape[1]):
        one = values[:, column : column + 1]
        ranks[:, column] = (np.sign(one - values)).sum(axis=1) / 2
    return ranks
