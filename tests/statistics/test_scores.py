import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valley.errors import UserError
from valley.statistics import (
    Cell,
    contrast_interval,
    difference,
    pass_at_k,
    score_interval,
    seed_noise,
    wilson,
)
from valley.t_distribution import NORMAL


def answers(
    rng, score, problems, *, seeds=1, difficulty=None, shared=0.7, seed_sd=0.0, given=False
):
    """A cell of one sample per problem: normal difficulties, of which cells share a part."""
    difficulty = rng.normal(size=problems) if difficulty is None else difficulty
    scores = score + seed_sd * rng.normal(size=(seeds, 1))
    thresholds = np.array([[NORMAL.inv_cdf(min(max(s, 1e-3), 1 - 1e-3))] for (s,) in scores])
    latent = math.sqrt(shared) * difficulty + math.sqrt(1 - shared) * rng.normal(
        size=(seeds, problems)
    )
    return Cell((latent < thresholds).astype(float), given)


@given(n=st.integers(1, 9), data=st.data())
def test_pass_at_k_is_the_share_of_draws_with_a_passing_sample(n, data):
    c = data.draw(st.integers(0, n))
    k = data.draw(st.integers(1, n))
    draws = list(combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k([n], [c], k)[0] == pytest.approx(sum(map(any, draws)) / len(draws))


@pytest.mark.parametrize("k", [0, 3])
def test_pass_at_k_refuses_more_tries_than_samples(k):
    with pytest.raises(UserError, match="fewest samples are 2"):
        pass_at_k([4, 2], [1, 1], k)


def test_wilson_of_yes_and_no_answers_is_the_textbook_interval():
    low, high = wilson(np.repeat([1.0, 0.0], [60, 240]))
    # Wilson 1927 at 60 of 300, z = 1.96; t with 299 df and n − 1 widen it a little.
    assert (low, high) == (pytest.approx(0.1587, abs=0.001), pytest.approx(0.2488, abs=0.001))


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_a_cell_without_variance_has_an_interval_inside_0_and_1(score):
    found = score_interval(Cell(np.full((1, 300), score)))
    assert found.low <= score <= found.high
    assert 0.005 < found.high - found.low < 0.02
    assert found.low >= 0 and found.high <= 1


@pytest.mark.parametrize("samples", [1, 8])
@pytest.mark.parametrize("score", [0.05, 0.2, 0.5])
def test_score_intervals_cover_at_their_nominal_rate(score, samples):
    rng = np.random.default_rng([1, samples, int(100 * score)])
    chances = rng.beta(score * 0.7, (1 - score) * 0.7, size=(2000, 279))
    rates = rng.binomial(samples, chances) / samples
    covered = np.mean([low <= score <= high for low, high in map(wilson, rates)])
    # The truth is .94 to .965 (docstring); 2,000 replicates scatter by .005.
    assert 0.93 <= covered <= 0.98


@pytest.mark.parametrize("seed_sd", [0.0, 0.02])
@pytest.mark.parametrize("score", [0.05, 0.2, 0.5])
def test_intervals_over_three_seeds_cover_a_new_seed_s_mean(score, seed_sd):
    rng = np.random.default_rng([2, int(100 * score), int(100 * seed_sd)])
    covered = [0, 0]
    replicates = 400
    for _ in range(replicates):
        difficulty = rng.normal(size=279)
        cells = [
            answers(rng, score, 279, seeds=3, difficulty=difficulty, seed_sd=seed_sd)
            for _ in range(4)
        ]
        noise = seed_noise(cells)
        one, gap = score_interval(cells[0], noise), difference(cells[0], cells[1], noise)
        covered[0] += one.low <= score <= one.high
        covered[1] += gap.low <= 0 <= gap.high
    assert all(0.915 <= count / replicates <= 0.99 for count in covered)


def test_differences_cover_at_their_nominal_rate_where_few_pass():
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(2000):
        difficulty = rng.normal(size=279)
        first = answers(rng, 0.05, 279, difficulty=difficulty)
        second = answers(rng, 0.01, 279, difficulty=difficulty)
        found = difference(first, second)
        covered += found.low <= 0.04 <= found.high
    assert 0.93 <= covered / 2000 <= 0.98


def test_a_difference_is_paired_over_problems():
    rng = np.random.default_rng(4)
    difficulty = rng.normal(size=300)
    first = answers(rng, 0.5, 300, difficulty=difficulty, shared=0.9)
    second = answers(rng, 0.4, 300, difficulty=difficulty, shared=0.9)
    paired = difference(first, second)
    shuffled = difference(first, Cell(rng.permuted(second.rates, axis=1)))
    assert paired.value == pytest.approx(shuffled.value)
    assert paired.high - paired.low < 0.8 * (shuffled.high - shuffled.low)


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=30)
def test_a_difference_turns_its_sign_with_its_cells_and_ignores_their_order(seed):
    rng = np.random.default_rng(seed)
    first, second = (answers(rng, rng.random(), 40, seeds=2) for _ in range(2))
    forth, back = difference(first, second), difference(second, first)
    assert (forth.value, forth.low, forth.high) == pytest.approx(
        (-back.value, -back.high, -back.low)
    )
    order = rng.permutation(40)
    again = difference(Cell(first.rates[:, order]), Cell(second.rates[:, order]))
    assert (again.low, again.high) == pytest.approx((forth.low, forth.high))


def test_equal_answers_still_leave_a_difference_uncertain():
    wrong = Cell(np.zeros((1, 300)))
    found = difference(wrong, wrong)
    assert found.value == 0
    assert found.low < -0.005 and found.high > 0.005


@pytest.mark.parametrize("flipped", [0.004, 0.01, 0.03, 0.05, 0.1])
def test_differences_cover_where_few_problems_tell_the_cells_apart(flipped):
    rng = np.random.default_rng(10)
    covered = 0
    for _ in range(500):
        before = rng.random(280) < 0.5
        after = before & (rng.random(280) >= flipped)
        found = difference(*(Cell(passed[None, :].astype(float)) for passed in (before, after)))
        assert found.high - found.low > 0.01
        covered += found.low <= 0.5 * flipped <= found.high
    assert covered / 500 >= 0.93


def test_ten_answers_lost_by_one_of_two_cells_are_held_against_the_variance_of_each_difference():
    # Only losses: Tango's interval is then the score interval of their share among 300, Wilson's.
    before = np.ones((1, 300))
    after = np.where(np.arange(300) < 10, 0.0, 1.0)[None, :]
    found = difference(Cell(before), Cell(after))
    low, high = wilson((np.arange(300) < 10).astype(float))
    assert (found.low, found.high) == pytest.approx((low, high), abs=2e-4)


def test_seed_noise_is_the_seeds_own_and_not_the_answers():
    rng = np.random.default_rng(5)
    noisy = seed_noise(answers(rng, 0.4, 300, seeds=3, seed_sd=0.05) for _ in range(60))
    calm = seed_noise(answers(rng, 0.4, 300, seeds=3) for _ in range(60))
    assert noisy is not None and calm is not None
    assert noisy.df == 120
    assert noisy.sd == pytest.approx(0.05, abs=0.01)
    assert calm.sd < 0.012
    assert calm.raw > calm.variance  # what the answers' noise alone makes the means scatter


def test_seed_noise_is_unmeasured_with_one_seed_each():
    rng = np.random.default_rng(6)
    cells = [answers(rng, 0.4, 50), answers(rng, 0.2, 50)]
    assert seed_noise(cells) is None
    assert seed_noise([*cells, answers(rng, 0.4, 50, seeds=2)]) is not None


def test_seed_noise_widens_trained_cells_and_leaves_a_given_checkpoint():
    rng = np.random.default_rng(7)
    noise = seed_noise(answers(rng, 0.4, 300, seeds=3, seed_sd=0.05) for _ in range(10))
    trained = answers(rng, 0.4, 300)
    baseline = Cell(trained.rates, given=True)

    def width(cell, noise):
        found = score_interval(cell, noise)
        return found.high - found.low

    assert width(trained, noise) > 1.2 * width(trained, None)
    assert width(baseline, noise) == width(baseline, None)


def test_a_contrast_of_two_agrees_with_the_difference():
    rng = np.random.default_rng(8)
    difficulty = rng.normal(size=300)
    cells = [answers(rng, score, 300, seeds=2, difficulty=difficulty) for score in (0.5, 0.3)]
    noise = seed_noise(cells)
    contrast, found = contrast_interval([1, -1], cells, noise), difference(*cells, noise)
    assert contrast.value == pytest.approx(found.value, abs=0.003)
    assert contrast.high - contrast.low == pytest.approx(found.high - found.low, rel=0.25)


def test_a_difference_of_differences_covers_at_its_nominal_rate():
    rng = np.random.default_rng(9)
    covered = 0
    for _ in range(1000):
        difficulty = rng.normal(size=300)
        cells = [answers(rng, s, 300, difficulty=difficulty) for s in (0.6, 0.1, 0.5, 0.3)]
        found = contrast_interval([1, -1, -1, 1], cells)
        covered += found.low <= 0.3 <= found.high
    assert 0.925 <= covered / 1000 <= 0.98


def test_the_interval_of_what_is_not_bounded_is_students_and_covers():
    rng = np.random.default_rng(3)
    covered = contrast = 0
    for _ in range(1000):
        difficulty = rng.normal(size=20)
        first, second = (
            Cell((mean + difficulty + 0.05 * rng.normal(size=(1, 20))), bounded=False)
            for mean in (5.0, 5.02)
        )
        found = score_interval(first)
        covered += found.low <= 5 <= found.high
        gap = contrast_interval([-1.0, 1.0], [first, second])
        assert gap.value == pytest.approx(second.score - first.score)
        contrast += gap.low <= 0.02 <= gap.high
    assert 0.93 <= covered / 1000 <= 0.97 and 0.93 <= contrast / 1000 <= 0.97
