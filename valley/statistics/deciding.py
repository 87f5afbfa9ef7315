"""How many problems, answers and training seeds would decide whether a curve has a valley.

A design decides where a true valley of the negligible depth would be shown, and where without any fall
one of that depth would be excluded, each with a power of about 80 %: two comparisons of 90 % each, held
to the largest of all. The variance of a comparison of two trained sizes is split into what only problems
average out (sizes differ in which problems they find easy), what answers average out, and what seeds do:

    (interaction + answers · 2 / (n s)) / m  +  2 σ² / s

with m problems, n answers to each, s seeds and seed SD σ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import combinations, pairwise

import numpy as np

from valley.statistics.curve import ALPHA, NEGLIGIBLE, largest_deviates
from valley.statistics.draws import Curve, deviations
from valley.statistics.few_seeds import FEW
from valley.statistics.scores import Cell
from valley.statistics.seeds import SeedNoise
from valley.t_distribution import NORMAL

POWER_OF_EACH = 0.9
ASSUMED_SEED_SD = 0.01
MOST_ANSWERS, MOST_SEEDS, MOST_PROBLEMS = 64, 20, 100_000


@dataclass(frozen=True)
class Design:
    """Problems, answers to each per seed, and training seeds of each size."""

    problems: int
    samples: int
    seeds: int


@dataclass(frozen=True)
class Deciding:
    """What would decide about a valley of `depth`, a score.

    `now` is the design at hand, with the fewest seeds that a size has. `same_problems` is the one with the
    fewest seeds, then answers, on the problems at hand; `more_problems` keeps answers and seeds. Where their
    noise is not known, both have more seeds than now, and three at least, and may be the same design. Either
    is None where no bearable number is enough. `assumed` names what the scores
    do not tell.
    """

    depth: float
    now: Design
    enough: bool
    same_problems: Design | None
    more_problems: Design | None
    assumed: tuple[str, ...]


@dataclass(frozen=True)
class _Variances:
    """Of one comparison: the parts of the formula at the module's head, squared scores."""

    interaction: float
    answers: float
    seeds: float

    def error(self, design: Design) -> float:
        per_problem = self.interaction + 2 * self.answers / (design.samples * design.seeds)
        return math.sqrt(per_problem / design.problems + 2 * self.seeds / design.seeds)


def deciding(
    curve: Curve, noise: SeedNoise | None = None, *, depth: float = NEGLIGIBLE, draws: int = 2000
) -> Deciding | None:
    """What would decide about a valley of `depth`; None of fewer than two sizes or problems."""
    if len(curve.sizes) < 2 or curve.baseline.rates.shape[1] < 2:
        return None
    variances, assumed = _variances(list(curve.cells), noise)
    first = curve.cells[0]
    now = Design(first.rates.shape[1], first.samples, min(cell.seeds for cell in curve.cells))
    limit = depth / (_critical(curve, noise, draws) + NORMAL.inv_cdf(POWER_OF_EACH))

    def enough(design: Design) -> bool:
        return variances.error(design) <= limit

    known = _is_known(noise)
    least = now.seeds if known else max(3, now.seeds + 1)
    answers = [now.samples * 2**k for k in range(8) if now.samples * 2**k <= MOST_ANSWERS]
    on_these = (
        Design(now.problems, samples, seeds)
        for seeds in range(least, MOST_SEEDS + 1)
        for samples in answers or [now.samples]
    )
    with_seeds = replace(now, seeds=least)
    sizes = [math.ceil(now.problems * 1.1**k) for k in range(100)]
    on_more = (replace(with_seeds, problems=m) for m in sizes if m <= MOST_PROBLEMS)
    return Deciding(
        depth=depth,
        now=now,
        enough=known and enough(now),
        same_problems=next(filter(enough, on_these), None),
        more_problems=next(filter(enough, on_more), None),
        assumed=assumed,
    )


def _critical(curve: Curve, noise: SeedNoise | None, draws: int) -> float:
    """The deviate that the largest of all ordered pairs stays below with 95 %."""
    cells = list(curve.cells)
    identity = np.eye(len(cells))
    rising = np.array([identity[j] - identity[i] for i, j in combinations(range(len(cells)), 2)])
    largest = largest_deviates(deviations(cells, noise, draws, 0), rising)
    return float(np.quantile(largest, 1 - ALPHA))


def _variances(cells: list[Cell], noise: SeedNoise | None) -> tuple[_Variances, tuple[str, ...]]:
    """Means over neighbouring sizes, and what had to be assumed."""
    found = [_answers(cell) for cell in cells]
    answers = float(np.mean([value for value, _ in found]))
    interaction = []
    for a, b in pairwise(cells):
        paired = float((a.by_problem - b.by_problem).var(ddof=1))
        interaction.append(paired - sum(answers / (c.samples * c.seeds) for c in (a, b)))
    assumed = []
    if not all(measured for _, measured in found):
        assumed.append("half of the variance of single answers lies between problems")
    seeds = 0.0 if noise is None else noise.variance
    if not _is_known(noise) and seeds <= ASSUMED_SEED_SD**2:
        assumed.append(f"a seed SD of {100 * ASSUMED_SEED_SD:g} point")
        seeds = ASSUMED_SEED_SD**2
    return _Variances(max(0.0, float(np.mean(interaction))), answers, seeds), tuple(assumed)


def _is_known(noise: SeedNoise | None) -> bool:
    """Whether the seeds' variance is known well enough to plan by."""
    return noise is not None and noise.df >= FEW


def _answers(cell: Cell) -> tuple[float, bool]:
    """The variance of one answer to a problem, and whether it was measured.

    Of several answers it is that of their counts; of one answer by several seeds it includes how a seed
    moves single problems.
    """
    rates, n = cell.rates, cell.samples
    if n > 1:
        return float((rates * (1 - rates)).mean()) * n / (n - 1), True
    if cell.seeds > 1:
        return float(rates.var(axis=0, ddof=1).mean()), True
    return cell.score * (1 - cell.score) / 2, False
