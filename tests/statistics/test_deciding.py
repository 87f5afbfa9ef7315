from dataclasses import asdict, replace

import numpy as np
import pytest
from further_sentences import next_step
from simulated import curves

from valley.statistics import seed_noise
from valley.statistics.curve import valley_test
from valley.statistics.deciding import Design, deciding

SIZES = (100, 1000, 4000, 16_000)
SHALLOW = (0.30, 0.25, 0.25, 0.25, 0.30)
LATER = {"trough": None, "recovery_size": None, "baseline": {"value": 0.3}}


def one(scores=SHALLOW, **design):
    (curve,) = curves(np.random.default_rng(3), scores, SIZES, replicates=1, **design)
    return curve


def test_one_answer_and_one_seed_say_what_was_assumed():
    found = deciding(one(samples=1))
    assert found.now == Design(279, 1, 1)
    assert not found.enough
    assert found.more_problems.problems > 279 and found.more_problems.seeds == 3
    assert len(found.assumed) == 2


def test_with_several_seeds_and_answers_nothing_is_assumed():
    curve = one(samples=8, seeds=3, seed_sd=0.01)
    assert deciding(curve, seed_noise(curve.cells)).assumed == ()


def test_more_than_enough_is_enough_and_a_smaller_valley_needs_more():
    curve = one(samples=16, seeds=3, problems=2000)
    noise = seed_noise(curve.cells)
    assert deciding(curve, noise).enough
    found = deciding(curve, noise, depth=0.005)
    assert not found.enough and found.more_problems.problems > 2000


def test_three_seeds_that_do_not_tell_their_noise_ask_for_more_seeds_and_one_way_is_said_once():
    curve = one(SHALLOW[:3], samples=16, seeds=3, problems=880, seed_sd=0.003)
    curve = replace(curve, sizes=SIZES[:2], cells=curve.cells[:2])
    found = deciding(curve, seed_noise(curve.cells))
    assert seed_noise(curve.cells).df < 6 and not found.enough
    assert found.same_problems == found.more_problems == Design(880, 16, 4)
    said = next_step(
        {"valley": {"verdict": "INCONCLUSIVE"}, "deciding": asdict(found), **LATER}, False
    )
    assert said.count("880 problems") == 2 and "or by" not in said


def test_fewer_than_two_sizes_have_no_design():
    curve = one()
    assert deciding(replace(curve, sizes=SIZES[:1], cells=curve.cells[:1])) is None


@pytest.mark.parametrize(("scores", "verdict"), [(SHALLOW, "VALLEY"), ((0.3,) * 5, "NO VALLEY")])
def test_the_design_named_decides_in_about_four_of_five_repetitions(scores, verdict):
    pilot = one(samples=4, seeds=3, seed_sd=0.01)
    named = deciding(pilot, seed_noise(pilot.cells)).more_problems
    said = [
        valley_test(curve, seed_noise(curve.cells), draws=500).verdict
        for curve in curves(
            np.random.default_rng(4),
            scores,
            SIZES,
            replicates=80,
            problems=named.problems,
            samples=named.samples,
            seeds=named.seeds,
            seed_sd=0.01,
        )
    ]
    assert said.count(verdict) / 80 >= 0.65
