"""Rank correlation of what cells show, such as completion rate and score, or completion rate and size.

The interval is the hull of two. One is of the measurement: whole problems and training seeds are drawn
again, the same for all cells; it has no width where the cells' order is beyond doubt. The other is of the
cells' scatter: the values' ranks are dealt out in the order of s·u + √(1−s²)·e, with u the normal scores of
the ranks that they are held against, e normal noise and s a strength from −1 to 1. At s = 0 that is the
permutation test. The interval has the strengths that put no more than 2.5 % beyond what was found, each as
the mean of the correlations that it gives; so few cells leave much open, and none leaves nothing open.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from valley.statistics.draws import deviations
from valley.statistics.scores import LEVEL, Cell, Estimate, Floats
from valley.statistics.seeds import SeedNoise

LEAST_CELLS = 4
STRENGTHS = np.tanh(np.linspace(-4, 4, 61))
DEALS = 2000
"""How often ranks are dealt out for each strength."""


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
    y = second.rows(draws, seed, stream=1)
    found = _spearman(x, y)
    if np.isnan(found[0]):
        return None
    low, high = np.nanquantile(found[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    value = float(found[0])
    scatter = _scatter(value, _ranks(x[:1])[0], _ranks(y[:1])[0])
    return Estimate(value, min(low, scatter[0], value), max(high, scatter[1], value))


def _scatter(found: float, x: Floats, y: Floats) -> tuple[float, float]:
    """Between which correlations cells with these ranks leave the one that they scatter about."""
    dealt = _dealt(tuple(x.tolist()), tuple(np.sort(y).tolist()))
    means = dealt.mean(axis=1)
    beyond = (1 - LEVEL) / 2
    too_weak = (dealt >= found - 1e-9).mean(axis=1) <= beyond
    too_strong = (dealt <= found + 1e-9).mean(axis=1) <= beyond
    low = means[too_weak].max(initial=means.min())
    return float(low), float(means[too_strong].min(initial=means.max()))


@lru_cache(maxsize=16)
def _dealt(x: tuple[float, ...], y: tuple[float, ...]) -> Floats:
    """Correlations of ranks dealt out at random, [strengths, deals].

    Args:
        x: ranks less their mean.
        y: the ranks to deal out, ascending.
    """
    cells = len(x)
    normal = NormalDist()
    u = np.array([normal.inv_cdf((rank + cells / 2) / cells) for rank in x])
    u /= np.sqrt((u**2).mean())
    e = np.random.default_rng(0).standard_normal((DEALS, cells))
    scale = np.sqrt(np.square(x).sum() * np.square(y).sum())
    found = np.empty((len(STRENGTHS), DEALS))
    for row, strength in enumerate(STRENGTHS):
        order = np.argsort(strength * u + np.sqrt(1 - strength**2) * e, axis=1)
        found[row] = np.asarray(x)[order] @ np.asarray(y) / scale
    found.flags.writeable = False
    return found


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
