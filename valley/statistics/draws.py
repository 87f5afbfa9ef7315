"""Draws of whole problems, the same for every cell of a curve, and of training seeds beside them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from valley.statistics.scores import Cell, Floats
from valley.statistics.seeds import SeedNoise


@dataclass(frozen=True)
class Curve:
    """A baseline and the cells trained from it, in ascending order of their sizes (traces)."""

    baseline: Cell
    sizes: tuple[int, ...]
    cells: tuple[Cell, ...]

    @property
    def all_cells(self) -> list[Cell]:
        """The baseline, then the trained cells: the columns that weights refer to."""
        return [self.baseline, *self.cells]


@lru_cache(maxsize=4)
def problem_draws(problems: int, draws: int = 10_000, seed: int = 0) -> Floats:
    """Bootstrap weights of whole problems, shape [draws, problems], each row summing to 1.

    One matrix serves all cells, so that `draws @ rates` resamples the same problems everywhere.
    """
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(problems, np.full(problems, 1 / problems), size=draws) / problems
    weights.flags.writeable = False
    return weights


def deviations(
    cells: list[Cell],
    noise: SeedNoise | None,
    draws: int,
    seed: int,
    copies: int = 1,
    stream: int = 1,
) -> Floats:
    """Draws of every cell's score less the score, [draws, cells]: resampled problems, normal seeds.

    With `copies`, `cells` are that many versions of the same cells one after another, whose seeds move
    together. Another `stream` draws the same problems and other seeds.
    """
    means = np.stack([cell.by_problem for cell in cells], axis=1)
    found = problem_draws(len(means), draws, seed) @ means - means.mean(axis=0)
    if noise is not None:
        rng = np.random.default_rng([seed, stream])
        seeds = rng.standard_normal((draws, len(cells) // copies))
        found += np.tile(seeds, copies) * seed_sds(cells, noise)
    return found


def seed_sds(cells: list[Cell], noise: SeedNoise) -> Floats:
    """The standard deviation that training seeds give each cell's score, [cells]."""
    return np.array([0.0 if c.given else noise.sd / math.sqrt(c.seeds) for c in cells])
