"""How a curve rises after its trough: sharper than log-linear, or not to be told.

A curve that is a straight line in log size on one scale is bent on another, and the trough's own noise
bends it too. So "sharper than log-linear" is said only where the curvature in log size is above zero on
the score's scale and on the logit's (an intersection-union: each one-sided at 5 %, no further
correction), without the trough and the size after it, on at least five sizes. A better fit of one curve
than of another never decides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from valley.statistics.draws import Curve
from valley.statistics.intervals import contrasts
from valley.statistics.scores import LEVEL, Cell, Estimate, Floats
from valley.statistics.seeds import SeedNoise

Scale = Literal["score", "logit"]
ALPHA = 0.05
LEAST_SIZES = 5
DROPPED = 2
"""The trough and the next size."""


@dataclass(frozen=True)
class Curvature:
    """The quadratic coefficient of a scale's values in log10 size, with the p of its being above zero."""

    scale: Scale
    estimate: Estimate
    p: float


@dataclass(frozen=True)
class Shape:
    """The verdict, the sizes it rests on, and the curvature on each scale; none with too few sizes."""

    verdict: Literal["SHARPER THAN LOG-LINEAR", "NOT IDENTIFIED"]
    sizes: tuple[int, ...]
    curvatures: tuple[Curvature, ...]


def shape_after(
    curve: Curve,
    trough_size: int,
    noise: SeedNoise | None = None,
    scales: tuple[Scale, ...] = ("score", "logit"),
) -> Shape:
    """The shape of a curve's rise after its trough.

    A continuous metric that no scale bends, such as a negative log-likelihood with its sign turned, is
    asked on the score's scale alone.

    Raises:
        ValueError: `trough_size` is no size of the curve.
    """
    first = curve.sizes.index(trough_size) + DROPPED
    sizes, cells = curve.sizes[first:], list(curve.cells[first:])
    if len(sizes) < LEAST_SIZES:
        return Shape("NOT IDENTIFIED", sizes, ())
    found = tuple(_curvature(scale, sizes, cells, noise) for scale in scales)
    sharper = all(curvature.p <= ALPHA for curvature in found)
    return Shape("SHARPER THAN LOG-LINEAR" if sharper else "NOT IDENTIFIED", sizes, found)


def _curvature(
    scale: Scale, sizes: tuple[int, ...], cells: list[Cell], noise: SeedNoise | None
) -> Curvature:
    """Least squares; on the logit's scale the standard error is that of the linearised values."""
    weights = _quadratic(sizes)
    scores = np.array([cell.score for cell in cells])
    values, slopes = scores, np.ones(len(cells))
    if scale == "logit":
        half = 0.5 / cells[0].rates.size
        inside = np.clip(scores, half, 1 - half)
        values = np.log(inside / (1 - inside))
        slopes = 1 / (inside * (1 - inside))
    value = float(weights @ values)
    # `contrasts` is made for weights whose positive part sums to 1.
    size = float(np.abs(weights * slopes).sum()) / 2
    row = contrasts((weights * slopes / size)[None, :], cells, noise)
    half_width = size * float(row.half_widths((1 + LEVEL) / 2)[0])
    estimate = Estimate(value, value - half_width, value + half_width)
    return Curvature(scale, estimate, float(row.p_above(np.array([value / size]))[0]))


def _quadratic(sizes: tuple[int, ...]) -> Floats:
    """The weights of the values whose sum is the quadratic coefficient, [sizes]."""
    logs = np.array([math.log10(size) for size in sizes])
    return np.linalg.pinv(np.stack([np.ones(len(logs)), logs, logs**2], axis=1))[2]
