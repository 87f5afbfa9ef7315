import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import rates

from valley.statistics import Cell, SeedNoise
from valley.statistics.correlation import STRENGTHS, Measured, _dealt, _scatter, correlation

SIZES = (1000, 2000, 4000, 8000, 16_000, 32_000)


def measured(scores, seed=0):
    (found,) = rates(np.random.default_rng(seed), scores, replicates=1, problems=400, samples=8)
    return Measured([Cell(one) for one in found])


def test_a_rate_that_grows_with_size_correlates_with_it_and_not_with_what_does_not():
    closed = measured((0.3, 0.45, 0.6, 0.75, 0.9, 0.97))
    score = measured((0.2, 0.05, 0.3, 0.1, 0.25, 0.15))
    with_size, with_score = correlation(SIZES, closed), correlation(score, closed)
    assert with_size.value == pytest.approx(1) and 0.4 < with_size.low < 0.6
    assert abs(with_score.value) < 0.5 and with_score.low <= with_score.value <= with_score.high


def test_scores_that_cannot_be_told_apart_leave_it_open():
    found = correlation(SIZES, measured((0.3,) * 6))
    assert found.high - found.low > 0.8


def test_ties_share_their_rank():
    found = correlation([1, 1, 2, 2], measured((0.1, 0.1001, 0.9, 0.9001)))
    assert 0.85 < found.value < 0.95  # at most √0.8 with two ties on one side


def test_too_few_cells_or_constant_sizes_have_none():
    assert correlation(SIZES[:3], measured((0.1, 0.5, 0.9))) is None
    assert correlation([5, 5, 5, 5], measured((0.1, 0.3, 0.5, 0.9))) is None


def test_two_metrics_have_seeds_of_their_own_and_problems_in_common():
    rng = np.random.default_rng(1)
    noise = SeedNoise(variance=0.04, raw=0.04, df=5)
    apart = [Cell(rng.random((2, 40))) for _ in range(5)]
    alike = Measured([Cell(np.full((2, 40), 0.5))] * 5, noise)  # problems move nothing
    first, second = alike.rows(2000, 0, stream=1), alike.rows(2000, 0, stream=2)
    assert abs(np.corrcoef(first[1:].ravel(), second[1:].ravel())[0, 1]) < 0.05
    rows = [Measured(apart).rows(50, 0, stream=stream) for stream in (1, 2)]
    assert np.array_equal(*rows)


def exact(scores):
    """Cells whose order no draw of problems changes."""
    return Measured([Cell(np.full((1, 40), score)) for score in scores])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 8), min_size=4, max_size=8))
def test_an_interval_has_a_width_even_where_measurement_leaves_no_doubt(scores):
    found = correlation(range(len(scores)), exact([score / 8 for score in scores]))
    if found is None:
        assert np.ptp(scores) == 0
    else:
        assert -1 - 1e-9 <= found.low < found.high <= 1 + 1e-9
        assert found.low <= found.value <= found.high


def test_four_sizes_in_order_show_nothing_and_five_do():
    # Of 24 orders of four one is this: 4.2 %; of five 0.8 %.
    assert correlation(range(4), exact((0.1, 0.2, 0.3, 0.4))).low < 0
    five = correlation(range(5), exact((0.1, 0.2, 0.3, 0.4, 0.5)))
    assert 0 < five.low < 0.5 and five.high == pytest.approx(1)
    mirrored = correlation(range(5), exact((0.5, 0.4, 0.3, 0.2, 0.1)))
    assert mirrored.high == pytest.approx(-five.low, abs=0.1)


@pytest.mark.parametrize("strength", [STRENGTHS[30], STRENGTHS[38], STRENGTHS[50]])
def test_the_interval_covers_what_the_cells_scatter_about(strength):
    cells, replicates = 9, 1000
    x = np.arange(cells) - (cells - 1) / 2
    dealt = _dealt(tuple(x.tolist()), tuple(x.tolist()))
    row = int(np.abs(STRENGTHS - strength).argmin())
    anew = np.random.default_rng(1).permutation(dealt[row])[:replicates]
    bounds = np.array([_scatter(float(found), x, x) for found in anew])
    covered = (bounds[:, 0] <= dealt[row].mean()) & (dealt[row].mean() <= bounds[:, 1])
    assert covered.mean() > 0.94
    if strength == 0:
        assert ((bounds[:, 0] > 0) | (bounds[:, 1] < 0)).mean() <= 0.055
