"""Seed noise that few degrees of freedom tell: how wide a difference is that rests on it.

Satterthwaite's approximation takes the variance of seeds as measured, and as none where sampling alone
explains how the means scatter. With one or two degrees of freedom that happens often, and then several
differences too many are far from zero at once. Below `FEW` the variance is therefore all that may be: a
mean square of d degrees of freedom is its expectation times a chi-square over d, so each quantile of chi-square
gives a variance that the measured one may come from, less what sampling adds. A difference's p is the mean
over these (a generalised p-value; Weerahandi, Journal of the American Statistical Association 88, 1993).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from valley.statistics.scores import Floats
from valley.statistics.seeds import SeedNoise
from valley.t_distribution import NORMAL

FEW = 6
"""Degrees of freedom from which Satterthwaite's approximation is used: it is near enough in simulations."""
NODES = 100
FURTHEST = 8.0


@dataclass(frozen=True)
class Mixture:
    """Normal distributions around zero, one for each variance that may be: SDs [rows, nodes], and weights."""

    sds: Floats
    weights: Floats

    def deviates(self, values: Floats) -> Floats:
        """The normal deviate of equal probability, below which a row lies as often as below its value."""
        above = self._above(np.abs(values))
        found = [-NORMAL.inv_cdf(min(max(p, 1e-12), 0.5)) for p in above.tolist()]
        return np.copysign(found, values)

    def quantiles(self, probability: float) -> Floats:
        """What each row stays below with this probability, of one half or more, to 1e-6 of it.

        Newton's steps from what the least variance alone would give: above zero the probability beyond
        falls ever more slowly, so the steps come nearer without ever passing.
        """
        probability = min(probability, 1 - 1e-12)
        beyond = 1 - probability
        found = NORMAL.inv_cdf(probability) * self.sds.min(axis=1)
        steps = np.full(len(found), math.inf)
        while (steps > 1e-9 * found + 1e-15).any():
            deviates = found[:, None] / self.sds
            slopes = np.exp(-(deviates**2) / 2) / (math.sqrt(2 * math.pi) * self.sds) @ self.weights
            steps = (self._above(found) - beyond) / slopes
            found = found + steps
        return found

    def _above(self, values: Floats) -> Floats:
        where, logs = _upper_tail()
        tails = np.exp(np.interp(values[:, None] / self.sds, where, logs))
        return tails @ self.weights


def mixture(problems: Floats, share: Floats, noise: SeedNoise) -> Mixture:
    """The distributions of differences with a seed noise of few degrees of freedom.

    Args:
        problems: each row's variance over problems, above zero, [rows].
        share: of the seeds' variance in each row's, [rows].
    """
    chi_squares, weights = _chi_square(noise.df)
    variances = variances_of(noise, chi_squares)
    return Mixture(np.sqrt(problems[:, None] + share[:, None] * variances), weights)


def variances_of(noise: SeedNoise, chi_squares: Floats) -> Floats:
    """The seeds' own variance that each value of chi-square means."""
    return np.maximum(0.0, noise.raw * noise.df / chi_squares - noise.residual)


@lru_cache(maxsize=8)
def _chi_square(df: int) -> tuple[Floats, Floats]:
    """Values of chi-square, even on a log scale, and the probability of each."""
    logs = np.linspace(-24.0 / min(df, 2), math.log(df + 60.0), NODES)
    weights = np.exp(df / 2 * logs - np.exp(logs) / 2)
    return np.exp(logs), weights / weights.sum()


@lru_cache(maxsize=1)
def _upper_tail() -> tuple[Floats, Floats]:
    """Normal deviates, and the logarithm of the probability above each."""
    where = np.linspace(0.0, FURTHEST, 4001)
    return where, np.log([math.erfc(z / math.sqrt(2)) / 2 for z in where.tolist()])
