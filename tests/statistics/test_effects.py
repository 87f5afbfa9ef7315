import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated import rates

from valley.statistics import Cell, seed_noise
from valley.statistics.effects import Pair, default_delta, effects, holm, interactions


def pairs(scores, replicates, seed=0, **design):
    design = {"problems": 300, "samples": 4} | design
    made = rates(np.random.default_rng(seed), scores, replicates=replicates, **design)
    return [[Cell(one, samples=design["samples"]) for one in found] for found in made]


def exact(score, problems=400):
    return Cell((np.arange(problems) < round(score * problems)).astype(float)[None])


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_never_lowers_a_p_and_keeps_their_order(p):
    found = holm(p)
    assert all(one <= corrected <= 1 for one, corrected in zip(p, found, strict=True))
    assert sorted(found) == [found[at] for at in sorted(range(len(p)), key=p.__getitem__)]


def test_arms_that_differ_by_delta_are_rarely_called_equivalent():
    delta = 0.05
    said = [
        effects([Pair(a, b)], seed_noise([a, b]), delta)[0].verdict
        for a, b in pairs((0.30, 0.30 + delta), 400, seeds=3, seed_sd=0.01)
    ]
    assert said.count("EQUIVALENT") / 400 <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / 400)


def test_equal_arms_are_equivalent_with_enough_answers_and_inconclusive_with_few():
    def said(samples, problems):
        made = pairs((0.3, 0.3), 40, samples=samples, problems=problems)
        return [effects([Pair(a, b)], None, 0.03)[0].verdict for a, b in made]

    assert said(16, 2000).count("EQUIVALENT") >= 36
    assert said(1, 100).count("EQUIVALENT") == 0


def test_identical_arms_have_a_width_and_are_equivalent_only_beyond_it():
    few, many = (exact(0.3, problems) for problems in (100, 2000))
    (found,) = effects([Pair(few, few)], None, 0.02)
    assert found.difference.value == 0 and found.verdict == "INCONCLUSIVE"
    assert found.difference.low < -0.02 and found.difference.high > 0.02
    (found,) = effects([Pair(many, many)], None, 0.02)
    assert found.verdict == "EQUIVALENT" and 0 < found.smallest_delta < 0.02


def test_no_more_than_5_percent_of_families_of_equal_arms_have_a_different_one():
    families = pairs((0.3,) * 8, 400)
    said = [
        any(e.verdict == "DIFFERENT" for e in effects([Pair(*f[i : i + 2]) for i in (0, 2, 4, 6)]))
        for f in families
    ]
    assert sum(said) / 400 <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / 400)


def test_the_smallest_delta_is_the_border_of_equivalence():
    pair = Pair(exact(0.30), exact(0.31))
    smallest = effects([pair])[0].smallest_delta
    assert effects([pair], delta=1.01 * smallest)[0].verdict == "EQUIVALENT"
    assert effects([pair], delta=0.99 * smallest)[0].verdict != "EQUIVALENT"


def test_delta_is_a_quarter_of_the_mean_gain_and_none_without_one():
    assert default_delta(Pair(exact(0.5), exact(0.3), exact(0.2))) == pytest.approx(0.05)
    assert default_delta(Pair(exact(0.1), exact(0.1), exact(0.2))) is None
    assert default_delta(Pair(exact(0.5), exact(0.3))) is None
    assert effects([Pair(exact(0.3), exact(0.3))])[0].verdict == "INCONCLUSIVE"


def test_an_interaction_is_the_difference_of_differences():
    scores = (0.6, 0.3, 0.4, 0.3)
    (found,) = interactions([[exact(score) for score in scores]])
    assert found.difference.value == pytest.approx(0.2, abs=0.005)
    assert found.difference.low < 0.2 < found.difference.high
    three = [exact(0.2 + 0.1 * a + 0.1 * a * b * c) for a, b, c in product((1, 0), repeat=3)]
    (found,) = interactions([three])
    assert found.difference.value == pytest.approx(0.1, abs=0.005)


def test_an_interaction_s_p_is_corrected_for_all_that_are_looked_at():
    crossed = [[exact(score) for score in (0.6, 0.5, 0.5, 0.5)]]
    (alone,) = interactions(crossed)
    first, *rest = interactions([*crossed, *[[exact(0.5)] * 4] * 3])
    assert first.p == pytest.approx(4 * alone.p) and {one.p for one in rest} == {1.0}
    assert first.difference == alone.difference


@pytest.mark.parametrize("cells", [2, 3, 6])
def test_an_interaction_needs_two_levels_of_each_factor(cells):
    with pytest.raises(ValueError, match="two levels"):
        interactions([[exact(0.5)] * cells])
