"""Scores: pass@k, the cells that have them, and Wilson's interval over problems."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from valley.errors import UserError
from valley.t_distribution import t_quantile

Floats = NDArray[np.float64]

LEVEL = 0.95
"""Coverage of every interval that does not name its own."""


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

    `rates` has the shape [seeds, problems], each the mean of `samples` answers. A `given` cell is one
    checkpoint that everything starts from, a baseline: it has no training seed to vary. What is not
    `bounded` are no rates in [0, 1] but any numbers, such as likelihoods, one per trace.
    """

    rates: Floats
    given: bool = False
    samples: int = 1
    bounded: bool = True

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


def wilson(rates: Floats, level: float = LEVEL) -> tuple[float, float]:
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
    z2 = t_quantile((1 + level) / 2, problems - 1) ** 2
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    return max(0.0, min(p, centre - half)), min(1.0, max(p, centre + half))
