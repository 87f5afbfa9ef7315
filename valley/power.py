"""Power: the smallest difference between two cells that a grid's problems, samples and seeds can show.
Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from valley.job import Row
from valley.statistics import minimum_detectable_difference

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


def detectable(rows: list[Row], seed_sd: float) -> list[Detectable]:
    """The smallest difference in pass@1, for every distinct design that pairs of cells have.

    Cells that differ in their seed alone are one with several seeds. A baseline has no seed to vary, so
    of a pair with one the other cell's count.

    Args:
        seed_sd: the standard deviation of a score between training seeds.
    """
    found = set()
    for (profile, problems, samples), counts in _designs(rows).items():
        for seeds in _seeds_of_pairs(counts):
            smallest = minimum_detectable_difference(
                problems, samples, seeds, PLANNING_SCORE, seed_sd=seed_sd
            )
            found.add(Detectable(profile, problems, samples, seeds, smallest))
    return sorted(found)


def _seeds_of_pairs(counts: list[float]) -> set[int]:
    """The fewer seeds of every pair of cells, from each cell's; a baseline's are without number."""
    ordered = sorted(counts, reverse=True)
    # Every cell but the first has another beside it with as many or more.
    return {int(count) for count in ordered[1:] if math.isfinite(count)}


def _designs(rows: list[Row]) -> dict[tuple[str, int, int], list[float]]:
    """By profile, problems and samples: the seeds of each cell."""
    seeds: dict[tuple, float] = {}
    problems: dict[int, int] = {}
    last, point = None, ""
    for row in rows:
        cell = row.cell
        if cell is not last:
            last, point = cell, _without_seed(cell.axes)
        recipe = cell.recipe
        if id(recipe.data) not in problems:
            problems[id(recipe.data)] = recipe.data.evaluation_size
        design = row.profile, problems[id(recipe.data)], _samples(row)
        key = design, point
        seeds[key] = math.inf if cell.is_baseline else seeds.get(key, 0) + 1
    designs: dict[tuple[str, int, int], list[float]] = {}
    for (design, _), count in seeds.items():
        designs.setdefault(design, []).append(count)
    return designs


def _samples(row: Row) -> int:
    return row.cell.recipe.generate.profiles[row.profile].samples


def _without_seed(axes: dict[str, Any]) -> str:
    # Values may be lists, so that they cannot be a key themselves.
    return repr({**axes, "seed": None})
