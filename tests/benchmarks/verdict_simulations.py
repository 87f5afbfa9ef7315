"""Further parts of `simulations.py`: what verdicts beside VALLEY say of grids whose truth is known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np
from simulated import curves, rates

from valley.statistics import Cell, seed_noise
from valley.statistics.censoring import survival
from valley.statistics.curve import valley_test
from valley.statistics.draws import Curve
from valley.statistics.effects import Pair, effects
from valley.statistics.shape import Scale, shape_after

DRAWS = 1000
SIZES = (32, 64, 128, 256, 512, 1024, 2048)
LONG = (250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000)
DESIGNS = ((279, 4, 1, 0.0), (279, 4, 3, 0.01), (880, 16, 3, 0.01))
"""Problems, samples, seeds, seed SD."""
Row = list[object]


def no_valley(replicates: int) -> Iterator[Row]:
    """Whether the upper bounds of all falls and all rises hold, and NO VALLEY of a valley of 5 points."""
    truths = {
        "flat": (0.25,) * 8,
        "a valley of 5 points at one size": (0.25, 0.25, 0.25, 0.20, *(0.25,) * 4),
        "a valley of 5 points, then higher": (0.25, 0.24, 0.22, 0.20, 0.22, 0.25, 0.32, 0.40),
    }
    yield ["curve", "problems", "samples", "seeds", "seed SD", "all bounds hold", "NO VALLEY"]
    for at, (name, truth) in enumerate(truths.items()):
        falls = [truth[0] - score for score in truth[1:]]
        rises = [truth[j] - truth[i] for i, j in combinations(range(1, 8), 2)]
        for problems, samples, seeds, sd in DESIGNS:
            rng = np.random.default_rng([7, at, problems, samples, seeds])
            hold = said = 0
            for curve in curves(
                rng, truth, SIZES, replicates=replicates, problems=problems, samples=samples,
                seeds=seeds, seed_sd=sd,
            ):  # fmt: skip
                test = valley_test(curve, seed_noise(curve.cells), draws=DRAWS)
                pairs = zip((*test.below, *test.rises), (*falls, *rises), strict=True)
                hold += all(found.upper >= true for found, true in pairs)
                said += test.verdict == "NO VALLEY"
            shares = (f"{hold / replicates:.3f}", f"{said / replicates:.3f}")
            yield [name, problems, samples, seeds, sd, *shares]


def pairs_of_arms(replicates: int) -> Iterator[Row]:
    """Families of four pairs, δ 5 points: how often some pair gets a verdict."""
    yield ["true difference", "problems", "samples", "seeds", "seed SD",
           "some pair DIFFERENT", "first pair EQUIVALENT"]  # fmt: skip
    for gap in (0.0, 0.05, 0.1):
        for problems, samples, seeds, sd in DESIGNS:
            rng = np.random.default_rng([8, round(100 * gap), problems, samples, seeds])
            different = equivalent = 0
            for start in range(0, replicates, 50):
                number = min(50, replicates - start)
                for found in rates(
                    rng, (0.3, 0.3 + gap) * 4, replicates=number, problems=problems, samples=samples,
                    seeds=seeds, seed_sd=sd,
                ):  # fmt: skip
                    cells = [Cell(one, samples=samples) for one in found]
                    family = [Pair(*cells[i : i + 2]) for i in (0, 2, 4, 6)]
                    verdicts = [e.verdict for e in effects(family, seed_noise(cells), 0.05)]
                    different += "DIFFERENT" in verdicts
                    equivalent += verdicts[0] == "EQUIVALENT"
            shares = (f"{different / replicates:.3f}", f"{equivalent / replicates:.3f}")
            yield [gap, problems, samples, seeds, sd, *shares]


def shapes(replicates: int) -> Iterator[Row]:
    """How often a rise of six sizes after the trough and the next is called sharper than log-linear."""
    rises = {
        "straight in the score, .10 to .70": np.linspace(0.1, 0.7, 6),
        "straight in the score, .10 to .30": np.linspace(0.1, 0.3, 6),
        "straight in the logit, .08 to .62": 1 / (1 + np.exp(-np.linspace(-2.5, 0.5, 6))),
        "bent up on both scales": np.array([0.11, 0.12, 0.13, 0.18, 0.40, 0.92]),
    }
    yield ["rise", "problems", "samples", "seeds", "seed SD", "SHARPER THAN LOG-LINEAR"]
    for at, (name, rise) in enumerate(rises.items()):
        for problems, samples, seeds, sd in DESIGNS:
            rng = np.random.default_rng([9, at, problems, samples, seeds])
            made = curves(
                rng, (0.3, 0.2, 0.1, *rise), LONG, replicates=replicates, problems=problems,
                samples=samples, seeds=seeds, seed_sd=sd,
            )  # fmt: skip
            yield [name, problems, samples, seeds, sd, _sharper(made, ("score", "logit"))]
    for name, bent in (("a likelihood, straight", 0.0), ("a likelihood, bent up", 0.05)):
        for seeds, sd in ((1, 0.0), (3, 0.01)):
            made = _likelihoods(np.random.default_rng([10, seeds]), replicates, seeds, sd, bent)
            yield [name, "64 traces", "", seeds, sd, _sharper(made, ("score",))]


def _sharper(made: Iterator[Curve], scales: tuple[Scale, ...]) -> str:
    said = Counter(shape_after(c, c.sizes[1], seed_noise(c.cells), scales).verdict for c in made)
    return f"{said['SHARPER THAN LOG-LINEAR'] / said.total():.3f}"


def _likelihoods(
    rng: np.random.Generator, replicates: int, seeds: int, sd: float, bent: float
) -> Iterator[Curve]:
    """Negative nats per token: traces differ by 0.3, in a cell by 0.05 and in a seed by 0.03."""
    for _ in range(replicates):
        traces = 0.3 * rng.normal(size=64)
        cells = []
        for place in range(8):
            own = traces + 0.05 * rng.normal(size=64)
            values = -1.5 + 0.1 * place + bent * max(0, place - 2) ** 2 + own
            values = values + 0.03 * rng.normal(size=(seeds, 64)) + sd * rng.normal(size=(seeds, 1))
            cells.append(Cell(values, bounded=False))
        yield Curve(cells[0], LONG, tuple(cells))


def censoring(replicates: int) -> Iterator[Row]:
    """Curves without a valley, whose answers are cut off at random at some sizes."""
    truths = {
        "flat": ((0.25,) * 8, (0.0, 0.0, 0.2, 0.6, 0.2, 0.0, 0.0, 0.0)),
        "falling, then flat": ((0.40,) + (0.15,) * 7, (0.0, 0.3, 0.3, 0.3, 0.1, 0.0, 0.0, 0.0)),
        "falling, then flat, few cut": ((0.40,) + (0.15,) * 7, (0.01,) * 8),
        "a valley of 30 points, few cut": (
            (0.40, 0.25, 0.1, 0.1, 0.2, 0.3, 0.4, 0.45),
            (0.02,) * 8,
        ),
    }
    yield ["curve before cutting", "problems", "samples", "seeds", "seed SD",
           "VALLEY of what is scored", "SURVIVES IF ALIKE", "SURVIVES"]  # fmt: skip
    for at, (name, (truth, cut)) in enumerate(truths.items()):
        for problems, samples, seeds, sd in DESIGNS[:2]:
            rng = np.random.default_rng([11, at, problems, seeds])
            said: Counter[str] = Counter()
            for curve in curves(
                rng, truth, SIZES, replicates=replicates, problems=problems, samples=samples,
                seeds=seeds, seed_sd=sd,
            ):  # fmt: skip
                wrong, right = _cut(rng, curve, cut)
                noise = seed_noise(wrong.cells)
                said[survival(wrong, right, noise, draws=DRAWS).verdict] += 1
                said["scored"] += valley_test(wrong, noise, draws=DRAWS).verdict == "VALLEY"
            shares = [said[v] / replicates for v in ("scored", "SURVIVES IF ALIKE", "SURVIVES")]
            yield [name, problems, samples, seeds, sd, *(f"{share:.3f}" for share in shares)]


def _cut(rng: np.random.Generator, curve: Curve, cut: tuple[float, ...]) -> tuple[Curve, Curve]:
    """A curve with the answers that were cut off all wrong, and all right."""
    ends: tuple[list[Cell], list[Cell]] = [], []
    for cell, share in zip(curve.all_cells, cut, strict=True):
        n = cell.samples
        passed = np.rint(cell.rates * n).astype(int)
        low = passed - rng.binomial(passed, share)
        high = passed + rng.binomial(n - passed, share)
        for cells, counts in zip(ends, (low, high), strict=True):
            cells.append(Cell(counts / n, given=cell.given, samples=n))
    low_end, high_end = (Curve(cells[0], curve.sizes, tuple(cells[1:])) for cells in ends)
    return low_end, high_end


PARTS: dict[str, Callable[[int], Iterator[Row]]] = {
    "no-valley": no_valley,
    "pairs": pairs_of_arms,
    "shapes": shapes,
    "censoring": censoring,
}
