"""Student's t distribution, for degrees of freedom that need not be whole; and the normal one, its limit.

In place of scipy's, which would be a large dependency for two functions.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NORMAL = NormalDist()


def t_cdf(t: float, df: float) -> float:
    """The distribution function of Student's t, for any df > 0; the normal one above 1,000 df.

    With t = √df · tan θ the density becomes cos^(df−1) θ, which Gauss–Legendre integrates to 1e-9.
    """
    if df > 1000:
        return NORMAL.cdf(t)
    nodes, weights = _legendre(96)
    angle = math.atan(abs(t) / math.sqrt(df))
    area = angle / 2 * float(weights @ np.cos(angle / 2 * (nodes + 1)) ** (df - 1))
    whole = math.sqrt(math.pi) * math.exp(math.lgamma(df / 2) - math.lgamma((df + 1) / 2))
    return 0.5 + math.copysign(min(area / whole, 0.5), t)


def normal_deviates(t: Floats, df: Floats) -> Floats:
    """The normal deviate below which lies the probability that lies below each t, shape [values].

    Beyond 7 it is 7, where a double no longer tells the probability from 1.
    """
    nodes, weights = _legendre(32)
    df = np.minimum(df, 1e6)
    half = np.arctan(np.abs(t) / np.sqrt(df)) / 2
    area = half * (np.cos(half[:, None] * (nodes + 1)) ** (df[:, None] - 1) @ weights)
    log_whole = [math.lgamma(d / 2) - math.lgamma((d + 1) / 2) for d in df.tolist()]
    below = 0.5 - np.minimum(area / (math.sqrt(math.pi) * np.exp(log_whole)), 0.5)
    least = NORMAL.cdf(-7)
    deviates = [NORMAL.inv_cdf(max(share, least)) for share in below.tolist()]
    return np.copysign(deviates, t)


@lru_cache(maxsize=2)
def _legendre(points: int) -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.legendre.leggauss(points)
    return nodes, weights


@lru_cache(maxsize=4096)
def t_quantile(probability: float, df: float) -> float:
    """The t below which `probability` of Student's distribution lies, to 1e-9.

    Newton's steps from the normal quantile, which lies between 0 and the answer: there the
    distribution is concave, so the steps come nearer without ever passing it.
    """
    if df > 1000:
        return NORMAL.inv_cdf(probability)
    if probability < 0.5:
        return -t_quantile(1 - probability, df)
    log_scale = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - math.log(df * math.pi) / 2
    t, step = NORMAL.inv_cdf(probability), math.inf
    while step > 1e-9 * (1 + t):
        density = math.exp(log_scale - (df + 1) / 2 * math.log1p(t * t / df))
        if density == 0:  # so few degrees of freedom that nothing bounds it
            return math.inf
        step = (probability - t_cdf(t, df)) / density
        t += step
    return t
