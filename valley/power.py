"""Power: the smallest difference, and the smallest equivalence, of two cells that a grid can show. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import itemgetter
from statistics import NormalDist
from typing import Any

from valley.axes import NAMED_AXES
from valley.errors import UserError
from valley.job import Row
from valley.sweep import Cell

NORMAL = NormalDist()
Z_ALPHA = NORMAL.inv_cdf(0.95)
Z_BOTH = NORMAL.inv_cdf(0.9)
"""Both of two tests come out in 80 %."""
BUT_SEED = itemgetter(*(name for name in NAMED_AXES if name != "seed"))
PLANNING_SCORE = 0.25
"""The pass@1 that differences are planned at; a difference is hardest to see near 0.5."""


@dataclass(frozen=True, order=True)
class Detectable:
    """What pairs of cells with the same profile, problems, samples and seeds can show."""

    profile: str
    problems: int
    samples: int
    """Answers per problem."""
    seeds: int
    """Training seeds of either cell; of the one that has fewer."""
    difference: float
    """In pass@1, one-sided at 5 % with 80 % power."""
    equivalence: float
    """The smallest δ in pass@1 that two equal cells are shown to be equivalent within, with that power."""
    assumed: bool = False
    """Whether the number of problems is made up, since they are not there."""


def detectable(rows: list[Row], seed_sd: float) -> list[Detectable]:
    """The smallest difference in pass@1, for every distinct design that pairs of cells have.

    Cells that differ in their seed alone are one with several seeds. A baseline has no seed to vary, so
    of a pair with one the other cell's count.

    Args:
        seed_sd: the standard deviation of a score between training seeds.
    """
    found = set()
    for (profile, problems, samples, assumed), counts in _designs(rows).items():
        for seeds in _seeds_of_pairs(counts):
            design = problems, samples, seeds, PLANNING_SCORE
            smallest = minimum_detectable_difference(*design, seed_sd=seed_sd)
            delta = smallest_provable_delta(*design, seed_sd=seed_sd)
            found.add(Detectable(profile, problems, samples, seeds, smallest, delta, assumed))
    return sorted(found)


def minimum_detectable_difference(
    problems: int,
    samples: int,
    seeds: int,
    score: float,
    *,
    seed_sd: float = 0.01,
    between_problems: float = 0.5,
    correlation: float = 0.5,
    comparisons: int = 1,
    alpha: float = 0.05,
    power: float = 0.8,
) -> float:
    """The smallest difference of two trained cells that a paired one-sided test finds, as a score.

        (z[1 − α/k] + z[power]) · √(2 p(1−p) [b (1−r) + (1−b) / (n s)] / m  +  2 σ² / s)

    with m problems, n samples per problem, s seeds, score p, seed SD σ and k comparisons. A fraction
    b of a sample's variance p(1−p) lies between problems, of which the cells share r; the rest
    is decoding noise, which samples and seeds average out. The defaults of b, r and σ are guesses to
    plan with: measure them with a first sweep.

    >>> round(minimum_detectable_difference(279, samples=8, seeds=3, score=0.126), 3)
    0.042

    Raises:
        UserError: a count is below 1, or the score is not between 0 and 1.
    """
    if min(problems, samples, seeds, comparisons) < 1 or not 0 <= score <= 1:
        raise UserError(
            f"a design of {problems} problems x {samples} samples x {seeds} seeds with "
            f"{comparisons} comparisons at score {score}: counts are 1 or more, scores 0 to 1"
        )
    error = _standard_error(problems, samples, seeds, score, seed_sd, between_problems, correlation)
    return (NORMAL.inv_cdf(1 - alpha / comparisons) + NORMAL.inv_cdf(power)) * error


def smallest_provable_delta(
    problems: int, samples: int, seeds: int, score: float, *, seed_sd: float = 0.01
) -> float:
    """The smallest δ that two cells of the same true score are shown to be equivalent within, as a score.

    By two one-sided 5 % tests, both of which come out in four of five repetitions; the standard error is
    that of `minimum_detectable_difference`.
    """
    return (Z_ALPHA + Z_BOTH) * _standard_error(problems, samples, seeds, score, seed_sd)


def _standard_error(
    problems: int,
    samples: int,
    seeds: int,
    score: float,
    seed_sd: float,
    between_problems: float = 0.5,
    correlation: float = 0.5,
) -> float:
    own = between_problems * (1 - correlation) + (1 - between_problems) / (samples * seeds)
    return math.sqrt(2 * score * (1 - score) * own / problems + 2 * seed_sd**2 / seeds)


def _seeds_of_pairs(counts: list[float]) -> set[int]:
    """The fewer seeds of every pair of cells, from each cell's; a baseline's are without number."""
    ordered = sorted(counts, reverse=True)
    # Every cell but the first has another beside it with as many or more.
    return {int(count) for count in ordered[1:] if math.isfinite(count)}


def _designs(rows: list[Row]) -> dict[tuple[str, int, int, bool], list[float]]:
    """By profile, problems, samples, and whether the problems are only assumed: the seeds of each cell."""
    seeds: dict[tuple, float] = {}
    problems: dict[int, tuple[int, bool]] = {}
    last: Cell | None = None
    point: tuple[Any, str] = ((), "")
    for row in rows:
        cell = row.cell
        if cell is not last:
            last, point = cell, _without_seed(cell.axes)
        recipe = cell.recipe
        if id(recipe.data) not in problems:
            data = recipe.data
            problems[id(data)] = (data.evaluation_size, data.assumes_evaluation_size)
        number, assumed = problems[id(recipe.data)]
        design = row.profile, number, _samples(row), assumed
        key = design, point
        seeds[key] = math.inf if cell.is_baseline else seeds.get(key, 0) + 1
    designs: dict[tuple[str, int, int, bool], list[float]] = {}
    for (design, _), count in seeds.items():
        designs.setdefault(design, []).append(count)
    return designs


def _samples(row: Row) -> int:
    return row.cell.recipe.generate.profiles[row.profile].samples


def _without_seed(axes: dict[str, Any]) -> tuple[Any, str]:
    # Values of dotted axes may be lists, so that they cannot be a key themselves.
    plain = len(axes) == len(NAMED_AXES)
    return BUT_SEED(axes), "" if plain else repr({**axes, "seed": None})
