import math

import numpy as np
import pytest
from simulated import curves

from valley.statistics import Cell, seed_noise
from valley.statistics.draws import Curve
from valley.statistics.shape import shape_after

SIZES = (250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000)
TROUGH = (0.30, 0.2, 0.1)


def after(*rise):
    return (*TROUGH, *rise)


def verdicts(scores, replicates, **design):
    made = curves(
        np.random.default_rng(1), scores, SIZES, replicates=replicates, problems=600, **design
    )
    return [shape_after(curve, SIZES[1], seed_noise(curve.cells)).verdict for curve in made]


def test_a_rise_that_bends_up_on_both_scales_is_sharper():
    steep = after(0.11, 0.12, 0.13, 0.18, 0.40, 0.92)
    assert verdicts(steep, 20, seeds=3).count("SHARPER THAN LOG-LINEAR") >= 18


@pytest.mark.parametrize(
    "rise",
    [
        np.linspace(0.1, 0.7, 6),  # straight in the score; its logit bends both ways
        1 / (1 + np.exp(-np.linspace(-2.5, 0.5, 6))),  # straight in the logit, bent up in the score
    ],
)
def test_a_straight_line_on_either_scale_is_not_identified(rise):
    sharper = verdicts(after(*rise), 400).count("SHARPER THAN LOG-LINEAR")
    assert sharper / 400 <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / 400)


def test_fewer_than_five_sizes_after_the_next_decide_nothing():
    (curve,) = curves(
        np.random.default_rng(2), after(0.1, 0.1, 0.2, 0.9, 0.9), SIZES[:7], replicates=1
    )
    found = shape_after(curve, SIZES[2])
    assert (found.verdict, found.sizes, found.curvatures) == ("NOT IDENTIFIED", SIZES[4:7], ())


def test_the_curvature_is_the_quadratic_coefficient_in_decades():
    sizes = tuple(10**k for k in range(1, 8))
    cells = [
        Cell((np.arange(1000) < round(1000 * (0.1 + 0.02 * k * k))).astype(float)[None])
        for k in range(7)
    ]
    found = shape_after(Curve(cells[0], sizes, tuple(cells)), 10, scales=("score",))
    assert found.sizes == sizes[2:]
    assert found.curvatures[0].estimate.value == pytest.approx(0.02)
    assert found.curvatures[0].p < 0.05
