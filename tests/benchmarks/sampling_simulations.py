"""Further parts of `simulations.py`: intervals of samples that stop being drawn once they are narrow.

The rule is that of `valley/sampling.py`: after each round that leaves enough samples to decide by, all cells
stop if each one's interval is `until` wide or narrower. A width that hardly ever stops early, or always does, leaves a fixed number of samples;
so of each design many widths are tried, at quantiles of those that its rounds have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from simulated import chances

from valley.evaluate.profiles import DECIDING_SAMPLES
from valley.statistics import Cell, difference, wilson

SCORES = (0.02, 0.055, 0.2, 0.5)
PLANS = ((4, 1), (4, 4), (16, 1))
"""Most rounds, and the samples per problem of each."""
GAP = 0.05
QUANTILES = np.linspace(0.1, 0.9, 9)
CHUNK = 50
Row = list[object]


def early_stop(replicates: int) -> Iterator[Row]:
    """Nominal 95 % intervals where sampling stops early: of one cell's score, and of a paired difference."""
    yield ["problems", "score", "rounds x samples", "score: all rounds", "half-way", "worst", "had one sample decided",
           "difference: all rounds", "half-way", "worst"]  # fmt: skip
    for problems in (279, 880):
        for score in SCORES:
            for rounds, samples in PLANS:
                rng = np.random.default_rng([13, problems, round(1000 * score), rounds, samples])
                widths, holds = drawn(rng, replicates, problems, score, rounds, samples)
                first = -(-DECIDING_SAMPLES // samples) - 1
                one = stopped(widths[..., 0], holds[..., 0], first)
                otherwise = worst(widths[..., 0], holds[..., 0], 0) if first else ""
                # Both cells of a contrast go on until both are narrow.
                pair = stopped(widths.max(axis=2), holds[..., 1], first)
                yield [problems, score, f"{rounds} x {samples}", *one, otherwise, *pair]


def drawn(
    rng: np.random.Generator,
    replicates: int,
    problems: int,
    score: float,
    rounds: int,
    samples: int,
) -> tuple[np.ndarray, np.ndarray]:
    """After each round, of two cells: their intervals' widths, [replicates, rounds, 2]; and whether the
    first cell's interval holds the score, and the difference's the difference, of the same shape."""
    scores = (score, score + GAP)
    widths, holds = np.zeros((2, replicates, rounds, 2))
    for start in range(0, replicates, CHUNK):
        number = min(CHUNK, replicates - start)
        each = chances(rng, scores, replicates=number, problems=problems)
        added = rng.binomial(samples, each[None], (rounds, *each.shape))
        taken = samples * np.arange(1, rounds + 1).reshape(-1, 1, 1, 1, 1)
        rates = added.cumsum(axis=0) / taken
        for replicate in range(number):
            for number_of_round in range(rounds):
                at = start + replicate, number_of_round
                found = rates[number_of_round, replicate]
                intervals = [wilson(cell[0]) for cell in found]
                widths[at] = [high - low for low, high in intervals]
                gap = difference(Cell(found[1]), Cell(found[0]))
                low, high = intervals[0]
                holds[at] = low <= score <= high, gap.low <= GAP <= gap.high
    return widths, holds


def stopped(widths: np.ndarray, holds: np.ndarray, first: int) -> list[str]:
    """Coverage with all rounds drawn, with the width that the median replicate has half-way, and the worst.

    `widths` and `holds` have the shape [replicates, rounds]; `first` is the first round that decides.
    """
    middle = float(np.median(widths[:, widths.shape[1] // 2 - 1]))
    values = float(holds[:, -1].mean()), coverage(widths, holds, middle, first)
    return [*(f"{value:.3f}" for value in values), worst(widths, holds, first)]


def worst(widths: np.ndarray, holds: np.ndarray, first: int) -> str:
    """Coverage with that of many widths which one half of the replicates picks as the worst: in the other."""
    until = [float(q) for rounds in widths.T[first:-1] for q in np.quantile(rounds, QUANTILES)]
    half = len(widths) // 2
    picked = min(until, key=lambda width: coverage(widths[:half], holds[:half], width, first))
    return f"{coverage(widths[half:], holds[half:], picked, first):.3f}"


def coverage(widths: np.ndarray, holds: np.ndarray, until: float, first: int) -> float:
    """How often the interval that sampling ends with holds the truth."""
    ends = widths <= until
    ends[:, :first] = False
    ends[:, -1] = True
    return float(holds[np.arange(len(holds)), ends.argmax(axis=1)].mean())


PARTS: dict[str, Callable[[int], Iterator[Row]]] = {"early-stop": early_stop}
