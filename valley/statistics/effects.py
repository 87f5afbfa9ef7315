"""Pairs of arms, such as traces of easy and of hard questions: different, equivalent, or not to be told.

That a difference is not significant does not show that there is none. "Correctness does not matter" is
claimed only where the difference is shown to be smaller than a δ that the grid fixed beforehand: two
one-sided 5 % tests (TOST, Schuirmann 1987), the 90 % interval inside −δ to δ. "Different" is corrected by
Holm over all pairs that are looked at together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np

from valley.statistics.intervals import Contrasts, contrast_interval, contrasts, difference
from valley.statistics.scores import Cell, Estimate, Floats
from valley.statistics.seeds import SeedNoise

ALPHA = 0.05
DEFAULT_SHARE = 0.25
"""Of the arms' mean gain: the δ of a grid that names none."""


@dataclass(frozen=True)
class Pair:
    """Two arms, and the checkpoint that both were trained from, where it has a score."""

    first: Cell
    second: Cell
    baseline: Cell | None = None


@dataclass(frozen=True)
class Effect:
    """first − second of one pair.

    `p` is two-sided and corrected over the family. `smallest_delta` is the smallest δ, as a score, that
    the scores show the pair to be equivalent within; `delta` is the one it was held to, None without one.
    EQUIVALENT is said of a difference that may exist and is smaller than δ.
    """

    verdict: Literal["DIFFERENT", "EQUIVALENT", "INCONCLUSIVE"]
    difference: Estimate
    p: float
    smallest_delta: float
    delta: float | None


def effects(
    pairs: Sequence[Pair], noise: SeedNoise | None = None, delta: float | None = None
) -> list[Effect]:
    """The effects of a family of pairs, in its order.

    Args:
        delta: the largest difference that is none, as a score; None for a quarter of each pair's own
            mean gain over its baseline, and no δ where that is missing or the arms gained nothing.
    """
    corrected = holm([_p(pair, noise) for pair in pairs])
    return [_effect(pair, noise, delta, p) for pair, p in zip(pairs, corrected, strict=True)]


def _p(pair: Pair, noise: SeedNoise | None) -> float:
    return _p_of(contrasts(np.array([[1.0, -1.0]]), [pair.first, pair.second], noise))


def _p_of(row: Contrasts) -> float:
    """Two-sided, of one contrast."""
    return 2 * float(row.p_above(np.abs(row.value))[0])


def _effect(pair: Pair, noise: SeedNoise | None, delta: float | None, p: float) -> Effect:
    found = difference(pair.first, pair.second, noise)
    within = difference(pair.first, pair.second, noise, level=1 - 2 * ALPHA)
    smallest = max(abs(within.low), abs(within.high))
    limit = default_delta(pair) if delta is None else delta
    if limit is not None and smallest < limit:
        return Effect("EQUIVALENT", found, p, smallest, limit)
    return Effect("DIFFERENT" if p <= ALPHA else "INCONCLUSIVE", found, p, smallest, limit)


def default_delta(pair: Pair) -> float | None:
    """A quarter of the arms' mean gain over the checkpoint that they started from; None without a gain."""
    if pair.baseline is None:
        return None
    gain = (pair.first.score + pair.second.score) / 2 - pair.baseline.score
    return DEFAULT_SHARE * gain if gain > 0 else None


def holm(p: Sequence[float]) -> list[float]:
    """p-values corrected for all being looked at (Holm 1979), in the order given.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    found = [0.0] * len(p)
    largest = 0.0
    for rank, at in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        largest = max(largest, min(1.0, (len(p) - rank) * p[at]))
        found[at] = largest
    return found


@dataclass(frozen=True)
class Interaction:
    """A difference of differences, with its 95 % interval and the two-sided p, corrected over the family."""

    difference: Estimate
    p: float


def interactions(
    crossed: Sequence[Sequence[Cell]], noise: SeedNoise | None = None
) -> list[Interaction]:
    """How much one factor's effect depends on the others, for a family that is looked at together.

    Args:
        crossed: of each a cell for each combination of two levels of each factor, the last factor's level changing
            first; of two factors: (a, c), (a, d), (b, c), (b, d) for (a − b) at c less (a − b) at d.

    Raises:
        ValueError: the number of cells is no power of two above 2.
    """
    signs = [_signs(len(cells)) for cells in crossed]
    pairs = list(zip(signs, map(list, crossed), strict=True))
    corrected = holm([_p_of(contrasts(row[None, :], cells, noise)) for row, cells in pairs])
    return [
        Interaction(contrast_interval(row, cells, noise), p)
        for (row, cells), p in zip(pairs, corrected, strict=True)
    ]


def _signs(cells: int) -> Floats:
    factors = cells.bit_length() - 1
    if factors < 2 or cells != 2**factors:
        raise ValueError(f"{cells} cells are not two levels of two or more factors each")
    return np.array([float(np.prod(row)) for row in product((1.0, -1.0), repeat=factors)])
