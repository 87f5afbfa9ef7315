"""Student's t distribution, for degrees of freedom that need not be whole; and the normal one, its limit.

In place of scipy's, which would be a large dependency for two functions.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np

NORMAL = NormalDist()


def t_cdf(t: float, df: float) -> float:
    """The distribution function of Student's t, for any df > 0; the normal one above 1,000 df.

    With t = √df · tan θ the density becomes cos^(df−1) θ, which Gauss–Legendre integrates to 1e-9.
    """
    if df > 1000:
        return NORMAL.cdf(t)
    nodes, weights = _legendre()
    angle = math.atan(abs(t) / math.sqrt(df))
    area = angle / 2 * float(weights @ np.cos(angle / 2 * (nodes + 1)) ** (df - 1))
    whole = math.sqrt(math.pi) * math.exp(math.lgamma(df / 2) - math.lgamma((df + 1) / 2))
    return 0.5 + math.copysign(min(area / whole, 0.5), t)


@lru_cache(maxsize=1)
def _legendre() -> tuple[np.ndarray, np.ndarray]:
    nodes, weights = np.polynomial.legendre.leggauss(96)
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
        step = (probability - t_cdf(t, df)) / density
        t += step
    return t
