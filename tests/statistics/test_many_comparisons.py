"""The error of a whole family of comparisons: one found where none is, among all that are looked at."""

import math

import numpy as np
import pytest
from simulated import curves, rates

from valley.statistics import Cell, seed_noise
from valley.statistics.curve import ALPHA, valley_test
from valley.statistics.effects import interactions
from valley.statistics.intervals import contrasts
from valley.t_distribution import NORMAL

SIZES = (32, 64, 128, 256, 512, 1024, 2048)
FLAT = (0.3,) * 8
FALL_THEN_FLAT = (0.5, *(0.1,) * 7)
REPLICATES = 300
ALLOWED = ALPHA + 2.5 * math.sqrt(ALPHA * (1 - ALPHA) / REPLICATES)


def null_curves(scores, seeds, seed_sd):
    rng = np.random.default_rng([8, seeds, *(int(100 * score) for score in scores)])
    design = {"replicates": REPLICATES, "problems": 120, "samples": 1}
    return curves(rng, scores, SIZES, seeds=seeds, seed_sd=seed_sd, **design)


@pytest.mark.parametrize(
    ("scores", "seeds", "seed_sd", "null"),
    [
        (FLAT, 1, 0.0, ("below", "above", "rises")),
        (FLAT, 3, 0.02, ("below", "above", "rises")),
        # A family's true differences buy its false ones nothing.
        (FALL_THEN_FLAT, 1, 0.0, ("above", "rises")),
    ],
)
def test_a_family_of_no_differences_shows_one_in_5_percent_of_curves(scores, seeds, seed_sd, null):
    shown = dict.fromkeys(null, 0)
    for curve in null_curves(scores, seeds, seed_sd):
        test = valley_test(curve, seed_noise(curve.cells), draws=1000)
        for family in null:
            shown[family] += any(comparison.shown for comparison in getattr(test, family))
    assert {family: count for family, count in shown.items() if count / REPLICATES > ALLOWED} == {}


def test_each_comparison_held_to_5_percent_by_itself_shows_one_in_many_curves():
    # The reason for the correction, and proof that the test above could fail.
    weights = np.hstack([np.ones((7, 1)), -np.eye(7)])
    found = 0
    for curve in null_curves(FLAT, 1, 0.0):
        rows = contrasts(weights, list(curve.all_cells))
        found += bool((rows.deviates() > NORMAL.inv_cdf(1 - ALPHA)).any())
    assert found / REPLICATES > 1.5 * ALLOWED


def test_the_corrected_p_of_a_comparison_is_no_less_than_its_own():
    curve = next(null_curves(FALL_THEN_FLAT, 1, 0.0))
    weights = np.hstack([np.ones((7, 1)), -np.eye(7)])
    alone = [
        NORMAL.cdf(-deviate) for deviate in contrasts(weights, list(curve.all_cells)).deviates()
    ]
    corrected = [comparison.p for comparison in valley_test(curve).below]
    # 10,000 draws tell p to about a hundredth.
    assert all(p >= own - 0.01 for p, own in zip(corrected, alone, strict=True))


def test_a_family_of_interactions_of_equal_arms_has_one_in_5_percent():
    rng = np.random.default_rng(9)
    made = rates(rng, (0.3,) * 12, replicates=REPLICATES, problems=120, samples=4)
    shown = sum(
        any(one.p <= ALPHA for one in interactions([cells[i : i + 4] for i in (0, 4, 8)]))
        for cells in ([Cell(one, samples=4) for one in replicate] for replicate in made)
    )
    assert shown / REPLICATES <= ALLOWED
