"""Grids whose true scores are known: problems, cells, training seeds and samples, many at a time.

A sample of problem p in cell c with seed s passes with the chance

    Φ(Φ⁻¹(score) · √(1 + a² + 2b²) + a·difficulty[p] + b·own[c, p] + b·chance[c, s, p])

whose mean over the population of problems is exactly the score: problems are shared by all cells, and
each cell and each seed find some of them easier. A training seed also moves its whole score.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from valley.statistics import Cell
from valley.statistics.draws import Curve
from valley.t_distribution import NORMAL

SHARED, OWN = 1.5, 0.5
STEP = 1 / 256
TABLE = np.array([NORMAL.cdf(step * STEP - 8) for step in range(int(16 / STEP) + 1)], np.float32)
CHUNK = 50


def rates(
    rng: np.random.Generator, scores: Sequence[float], *, samples: int, **design: float
) -> np.ndarray:
    """Pass rates of so many samples, of shape [replicates, cells, seeds, problems]; see `chances`."""
    each = chances(rng, scores, **design)
    if samples <= 4:
        passed = sum(
            (rng.random(each.shape, np.float32) < each).astype(np.int8) for _ in range(samples)
        )
        return np.asarray(passed) / samples
    return rng.binomial(samples, each) / samples


def chances(
    rng: np.random.Generator,
    scores: Sequence[float],
    *,
    replicates: int,
    problems: int,
    seeds: int = 1,
    seed_sd: float = 0.0,
    given: int = 0,
    own: float = OWN,
) -> np.ndarray:
    """A sample's chance to pass, of shape [replicates, cells, seeds, problems].

    The scores of the first `given` cells do not scatter. With `own` 0 all cells find the same problems
    easy, and only samples differ.
    """
    spread = float(np.sqrt(1 + SHARED**2 + 2 * own**2))
    shape = (replicates, len(scores), seeds, problems)
    normal = rng.standard_normal
    sds = np.where(np.arange(len(scores)) < given, 0.0, seed_sd)[:, None]
    moved = np.clip(np.array(scores)[:, None] + sds * normal(shape[:3]), 1e-3, 1 - 1e-3)
    deviates = np.array([NORMAL.inv_cdf(s) for s in moved.ravel().tolist()], np.float32)
    latent = own * normal(shape, np.float32)
    latent += own * normal((*shape[:2], 1, problems), np.float32)
    latent += SHARED * normal((replicates, 1, 1, problems), np.float32)
    latent += spread * deviates.reshape(*shape[:3], 1)
    latent += 8
    latent *= 1 / STEP
    return TABLE[np.clip(latent, 0, len(TABLE) - 1).astype(np.int32)]


def curves(
    rng: np.random.Generator,
    scores: Sequence[float],
    sizes: Sequence[int],
    *,
    replicates: int,
    problems: int = 279,
    samples: int = 4,
    seeds: int = 1,
    seed_sd: float = 0.0,
    own: float = OWN,
) -> Iterator[Curve]:
    """Curves with these true scores, the baseline's first."""
    for start in range(0, replicates, CHUNK):
        found = rates(
            rng,
            scores,
            replicates=min(CHUNK, replicates - start),
            problems=problems,
            samples=samples,
            seeds=seeds,
            seed_sd=seed_sd,
            given=1,
            own=own,
        )
        for one in found:
            cells = [Cell(r, samples=samples) for r in one[1:]]
            yield Curve(Cell(one[0, :1], given=True, samples=samples), tuple(sizes), tuple(cells))
