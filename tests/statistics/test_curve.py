import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from simulated import curves, rates

from valley.statistics import Cell, SeedNoise, difference, seed_noise
from valley.statistics.curve import NEGLIGIBLE, overturning_seed_sd, valley_test
from valley.statistics.draws import Curve, problem_draws
from valley.statistics.few_seeds import FEW, mixture
from valley.statistics.intervals import contrasts
from valley.statistics.landmarks import landmarks
from valley.t_distribution import NORMAL

SIZES = (32, 64, 128, 256, 512, 1024, 2048)
VALLEY = (0.6, 0.5, 0.2, 0.1, 0.12, 0.3, 0.5, 0.9)
FLAT = (0.3,) * 8
FALL_THEN_FLAT = (0.5,) + (0.1,) * 7
DRAWS = 1000


def make(rng, scores, *, problems=279, seeds=1, seed_sd=0.0, sizes=SIZES):
    """A curve of one sample per problem; the first score is the baseline's."""
    difficulty = rng.normal(size=problems)
    cells = []
    for number, score in enumerate(scores):
        rows = 1 if number == 0 else seeds
        shifted = score + (seed_sd if number else 0.0) * rng.normal(size=rows)
        thresholds = [[NORMAL.inv_cdf(min(max(s, 1e-3), 1 - 1e-3))] for s in shifted]
        latent = math.sqrt(0.7) * difficulty + math.sqrt(0.3) * rng.normal(size=(rows, problems))
        cells.append(Cell((latent < np.array(thresholds)).astype(float), given=number == 0))
    return Curve(cells[0], tuple(sizes[: len(scores) - 1]), tuple(cells[1:]))


def exact(scores, problems=1000):
    """A curve whose cells' scores are these exactly."""
    cells = [
        Cell((np.arange(problems) < round(score * problems)).astype(float)[None], given=number == 0)
        for number, score in enumerate(scores)
    ]
    return Curve(cells[0], SIZES[: len(scores) - 1], tuple(cells[1:]))


def test_draws_are_of_whole_problems_and_the_same_each_time():
    draws = problem_draws(40, 200)
    assert draws.shape == (200, 40)
    assert draws.sum(axis=1) == pytest.approx(np.ones(200))
    assert np.array_equal(np.round(draws * 40), draws * 40)
    assert np.array_equal(draws, problem_draws(40, 200))
    assert not np.array_equal(draws, problem_draws(40, 200, seed=1))


def test_a_deep_valley_is_found_with_its_recovery():
    curve = make(np.random.default_rng(0), VALLEY, seeds=3, seed_sd=0.02)
    found = valley_test(curve, seed_noise(curve.cells))
    assert found.verdict == "VALLEY"
    assert found.seeds_measured
    assert found.fall.shown and found.rise.shown
    assert found.rise.other == found.fall.size < found.rise.size
    assert found.recovered == (2048,)
    assert [c.size for c in found.below] == list(SIZES)
    assert len(found.rises) == 21


def test_the_same_curve_gives_the_same_numbers():
    curve = make(np.random.default_rng(1), VALLEY, seeds=2)
    noise = seed_noise(curve.cells)
    assert valley_test(curve, noise) == valley_test(curve, noise)
    assert landmarks(curve, noise) == landmarks(curve, noise)


@pytest.mark.parametrize(
    ("scores", "seeds", "seed_sd"),
    [
        (FLAT, 1, 0.0),
        (FALL_THEN_FLAT, 1, 0.0),
        ((0.3, 0.3, 0.6, 0.1, 0.1, 0.1, 0.1, 0.1), 1, 0.0),
        (FLAT, 3, 0.02),
        (FALL_THEN_FLAT, 3, 0.02),
        (FALL_THEN_FLAT, 2, 0.01),
        ((0.2, 0.2, 0.2, 0.2, 0.2, 0.3, 0.4, 0.5), 2, 0.01),
    ],
)
def test_no_more_than_5_percent_of_curves_without_a_valley_are_called_one(scores, seeds, seed_sd):
    rng = np.random.default_rng([2, seeds, int(1000 * scores[1])])
    replicates, false = 500, 0
    for _ in range(replicates):
        curve = make(rng, scores, seeds=seeds, seed_sd=seed_sd)
        false += valley_test(curve, seed_noise(curve.cells), draws=DRAWS).verdict == "VALLEY"
    assert false / replicates <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / replicates)


def test_picking_the_lowest_and_the_highest_first_would_find_valleys_that_are_not_there():
    # The reason for the correction, and proof that the test above could fail.
    rng = np.random.default_rng(3)
    false = 0
    for _ in range(300):
        curve = make(rng, FALL_THEN_FLAT)
        scores = [cell.score for cell in curve.cells]
        low = int(np.argmin(scores[:-1]))
        high = low + 1 + int(np.argmax(scores[low + 1 :]))
        false += difference(curve.cells[high], curve.cells[low]).low > 0
    assert false / 300 > 0.15


def test_seed_noise_left_out_would_find_valleys_that_are_not_there():
    rng = np.random.default_rng(4)
    verdicts = [valley_test(make(rng, FLAT, seed_sd=0.06), draws=DRAWS).verdict for _ in range(100)]
    assert verdicts.count("VALLEY") > 20
    found = valley_test(make(rng, FLAT, seed_sd=0.06), draws=DRAWS)
    assert not found.seeds_measured


@pytest.mark.parametrize(
    "scores",
    [(0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95), (0.9, 0.7, 0.5, 0.3, 0.2, 0.15, 0.1, 0.05)],
)
def test_steady_rises_and_falls_are_no_valley(scores):
    curve = make(np.random.default_rng(5), scores, problems=2000, seeds=3)
    assert valley_test(curve, seed_noise(curve.cells), draws=DRAWS).verdict == "NO VALLEY"


def test_a_valley_too_shallow_to_tell_is_inconclusive_and_never_excluded():
    rng = np.random.default_rng(6)
    shallow = (0.5, *(0.5 - 1.2 * NEGLIGIBLE,) * 3, *(0.5,) * 4)
    verdicts = [valley_test(make(rng, shallow), draws=DRAWS).verdict for _ in range(200)]
    assert verdicts.count("INCONCLUSIVE") > 100
    assert verdicts.count("NO VALLEY") <= 10


@pytest.mark.parametrize("trained", [0, 1])
def test_fewer_than_two_sizes_decide_nothing(trained):
    found = valley_test(make(np.random.default_rng(7), (0.6, 0.1)[: trained + 1]))
    assert found.verdict == "INCONCLUSIVE"
    assert len(found.below) == trained and not found.rises


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.integers(1, 3), st.integers(2, 30))
@settings(deadline=None, max_examples=60)
def test_every_curve_has_one_of_three_verdicts(scores, seeds, problems):
    rng = np.random.default_rng(0)
    curve = make(rng, scores, problems=problems, seeds=seeds)
    found = valley_test(curve, seed_noise(curve.cells), draws=100)
    assert found.verdict in ("VALLEY", "NO VALLEY", "INCONCLUSIVE")
    assert all(0 < c.p <= 1 and math.isfinite(c.upper) for c in (*found.below, *found.rises))
    if curve.cells:
        marks = landmarks(curve, seed_noise(curve.cells), draws=100)
        assert marks.trough_size in curve.sizes
        assert marks.depth.low <= marks.depth.high


def test_scores_that_are_all_alike_exclude_a_valley_only_with_problems_enough():
    for problems, verdict in ((12, "INCONCLUSIVE"), (880, "NO VALLEY")):
        cell = Cell(np.zeros((1, problems)))
        found = valley_test(Curve(cell, SIZES[:3], (cell, cell, cell)), draws=DRAWS)
        assert found.verdict == verdict and min(fall.upper for fall in found.below) > 0


@pytest.mark.parametrize(("several", "seeds"), [(1, 2), (2, 3)])
def test_seeds_at_few_sizes_find_no_valley_that_is_not_there(several, seeds):
    # Were their variance taken as measured, .20 and .06 of these curves would be valleys.
    rng = np.random.default_rng(5)
    false = 0
    for curve in curves(
        rng,
        (0.40,) + (0.15,) * 7,
        SIZES,
        replicates=200,
        problems=880,
        seeds=seeds,
        seed_sd=0.01,
    ):
        kept = [
            Cell(cell.rates[: seeds if place < several else 1], samples=4)
            for place, cell in enumerate(curve.cells)
        ]
        few = replace(curve, cells=tuple(kept))
        false += valley_test(few, seed_noise(kept), draws=400).verdict == "VALLEY"
    assert false / 200 <= 0.05


def test_many_degrees_of_freedom_and_few_agree_where_they_meet():
    rng = np.random.default_rng(12)
    cells = [rates(rng, (0.3, 0.35) * 3, replicates=1, problems=279, samples=4, seeds=2)[0]]
    cells = [Cell(one, samples=4) for one in cells[0]]
    noise = SeedNoise(variance=1e-4, raw=2e-4, df=FEW, residual=1e-4)
    many = contrasts(np.array([[1.0, -1.0]]), cells[:2], noise)
    few = replace(many, few=mixture(many.standard_error**2 - 1e-4, np.array([1.0]), noise))
    for probability in (0.9, 0.975):
        ratio = few.half_widths(probability) / many.half_widths(probability)
        assert 0.95 < float(ratio[0]) < 1.15
    back = few.p_above(few.half_widths(0.95))
    assert back == pytest.approx([0.05], abs=1e-6)


def test_a_depth_is_uncertain_where_no_problem_differs():
    ones, zeros = (Cell(np.full((1, 40), value)) for value in (1.0, 0.0))
    halves = Cell(np.repeat([[0.0, 1.0]], 20, axis=1))
    for baseline, cell in ((ones, zeros), (zeros, zeros), (halves, halves)):
        depth = landmarks(Curve(baseline, (32, 64), (cell, cell)), draws=DRAWS).depth
        assert depth.high - depth.low > 0.05
        assert -1 <= depth.low <= depth.value <= depth.high <= 1


def test_a_depth_of_noisy_seeds_is_no_deeper_than_scores_can_be():
    curve = make(np.random.default_rng(11), (0.05, 0.02, 0.02))
    depth = landmarks(curve, SeedNoise(0.01, 0.01, 8), draws=DRAWS).depth
    assert depth.high <= 0.05 + 0.06 and depth.low >= -1


def test_a_single_seed_s_valley_stands_up_to_its_overturning_sd_and_no_further():
    curve = make(np.random.default_rng(8), VALLEY)
    sd = overturning_seed_sd(curve, draws=DRAWS)

    def verdict(sd):
        return valley_test(curve, SeedNoise(sd**2, 0.0, 1_000_000), draws=DRAWS).verdict

    assert 0.02 < sd < 0.4
    assert verdict(0.95 * sd) == "VALLEY"
    assert verdict(1.05 * sd) == "INCONCLUSIVE"
    assert overturning_seed_sd(make(np.random.default_rng(8), FLAT), draws=DRAWS) == 0.0


def test_the_recovery_is_interpolated_in_log_size():
    marks = landmarks(exact((0.5, 0.4, 0.1, 0.2, 0.4, 0.6, 0.7)))
    assert marks.trough_size == 64
    assert marks.depth.value == pytest.approx(0.4)
    assert marks.recovery_size == pytest.approx(256 * math.sqrt(2))
    low, high = marks.recovery_range
    assert low < marks.recovery_size < high


def test_a_curve_that_does_not_come_back_has_a_censored_recovery():
    marks = landmarks(exact((0.5, 0.1, 0.2)))
    assert marks.recovery_size == math.inf
    assert marks.recovery_range == (math.inf, math.inf)


def test_a_curve_never_below_its_baseline_has_no_recovery():
    marks = landmarks(exact((0.1, 0.5, 0.6)))
    assert marks.recovery_size is None
    assert marks.depth.value == pytest.approx(-0.4)


@pytest.mark.parametrize(("seeds", "seed_sd"), [(1, 0.0), (3, 0.02)])
def test_landmarks_cover_their_truth(seeds, seed_sd):
    scores = (0.5, 0.4, 0.2, 0.1, 0.12, 0.3, 0.6, 0.8)
    recovery = 512 * 2 ** (2 / 3)
    rng = np.random.default_rng([9, seeds])
    depths = recoveries = 0
    errors = []
    for _ in range(300):
        curve = make(rng, scores, seeds=seeds, seed_sd=seed_sd)
        found = landmarks(curve, seed_noise(curve.cells), draws=DRAWS)
        depths += found.depth.low <= 0.4 <= found.depth.high
        recoveries += found.recovery_range[0] <= recovery <= found.recovery_range[1]
        errors.append(math.log10(found.recovery_size / recovery))
    assert depths / 300 >= 0.90
    assert recoveries / 300 >= 0.90
    assert abs(np.median(errors)) <= 0.05


def test_a_hundred_cells_are_drawn_ten_thousand_times_in_seconds(cpu_s):
    rng = np.random.default_rng(10)
    rates = rng.random((880, 100))
    start = cpu_s()
    problem_draws(880, 10_000, seed=10) @ rates
    assert cpu_s() - start < 5  # 0.8 s on one core that is its own
    problem_draws.cache_clear()
