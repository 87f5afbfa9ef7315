from __future__ import annotations

import math

import numpy as np
import pytest

from valley.errors import UserError
from valley.power import (
    NORMAL,
    detectable,
    minimum_detectable_difference,
    smallest_provable_delta,
)
from valley.sweep import load_sweep
from valley.trail import trail

GRID = """
name: test
students: {tiny: {source: tiny}}
data: {source: tiny, pool_traces: 5000}
train: {batch_size: 16}
generate: {profiles: {greedy: {}, sampled: {samples: 4}}}
stages: {1: {}}
grid:
"""


@pytest.fixture
def designs(spaced):
    def designs(*blocks):
        path = spaced / "grid.yaml"
        path.write_text(GRID + "".join(f"  - {block}\n" for block in blocks))
        found = detectable(trail(*load_sweep(path)).rows, seed_sd=0.01)
        for design in found:
            assert design.difference == minimum_detectable_difference(
                design.problems, design.samples, design.seeds, 0.25
            )
        return [(d.profile, d.problems, d.samples, d.seeds) for d in found]

    return designs


def test_every_design_that_a_pair_has_is_told_once(designs):
    assert designs("{size: [0, 8, 16], seed: [0, 1, 2]}", "{size: [32, 64]}") == [
        ("greedy", 300, 1, 1),
        ("greedy", 300, 1, 3),
        ("sampled", 300, 4, 1),
        ("sampled", 300, 4, 3),
    ]


def test_a_pair_has_the_seeds_of_the_cell_with_fewer(designs):
    # The one cell of three seeds has none of three beside it.
    assert designs("{size: 8, seed: [0, 1, 2]}", "{size: [32, 64]}")[0] == ("greedy", 300, 1, 1)
    assert {d[3] for d in designs("{size: 8, seed: [0, 1, 2]}", "{size: [32, 64]}")} == {1}


def test_a_baseline_has_no_seed_to_vary(designs):
    assert {d[3] for d in designs("{size: [0, 8], seed: [0, 1, 2]}")} == {3}


def test_without_a_pair_there_is_nothing_to_tell(designs):
    assert designs("{size: 8, seed: [0, 1]}") == [] == designs("{size: 0}")


def test_axes_of_the_recipe_are_designs_of_their_own(designs):
    found = designs(
        "{size: [8, 16], data.evaluation_problems: [50, 100], train.adam_betas: [[0.9, 0.95]]}",
        "{size: [8, 16], generate.profiles.greedy.samples: [1, 3], generate.profiles.greedy.temperature: 1}",
    )
    greedy = [design[1:3] for design in found if design[0] == "greedy"]
    assert greedy == [(50, 1), (100, 1), (300, 1), (300, 3)]


def test_the_detectable_difference_is_that_of_simulated_designs():
    rng = np.random.default_rng(10)
    problems, p, b, r, seed_sd = 200, 0.3, 0.5, 0.5, 0.02
    # A sample copies its problem's draw with chance √b, so two of a cell correlate by b; two cells'
    # problems are the same draw with chance r.
    shape = (4000, problems)
    own = rng.random(shape) < p
    problem = (own, np.where(rng.random(shape) < r, own, rng.random(shape) < p))
    scores = [
        np.where(rng.random(shape) < math.sqrt(b), z, rng.random(shape) < p).mean(axis=1)
        + seed_sd * rng.normal(size=4000)
        for z in problem
    ]
    found = minimum_detectable_difference(problems, 1, 1, p, seed_sd=seed_sd)
    deviates = NORMAL.inv_cdf(0.95) + NORMAL.inv_cdf(0.8)
    assert found == pytest.approx(deviates * (scores[0] - scores[1]).std(), rel=0.05)


def test_the_detectable_difference_falls_with_every_count():
    design = {"problems": 200, "samples": 1, "seeds": 1, "score": 0.2}
    found = minimum_detectable_difference(**design)
    for count in ("problems", "samples", "seeds"):
        assert minimum_detectable_difference(**{**design, count: 4 * design[count]}) < found
    assert minimum_detectable_difference(**design, comparisons=28) > found


@pytest.mark.parametrize("wrong", [{"problems": 0}, {"seeds": 0}, {"score": 1.2}])
def test_an_impossible_design_is_refused(wrong):
    with pytest.raises(UserError, match="counts are 1 or more"):
        minimum_detectable_difference(
            **{"problems": 9, "samples": 1, "seeds": 1, "score": 0.2} | wrong
        )


def test_the_provable_delta_is_that_of_simulated_equal_cells():
    rng = np.random.default_rng(11)
    design = {"problems": 200, "samples": 4, "seeds": 3, "score": 0.3, "seed_sd": 0.01}
    delta = smallest_provable_delta(**design)
    error = minimum_detectable_difference(**design) / (NORMAL.inv_cdf(0.95) + NORMAL.inv_cdf(0.8))
    gaps = error * rng.normal(size=20_000)
    shown = np.abs(gaps) + NORMAL.inv_cdf(0.95) * error < delta
    assert shown.mean() == pytest.approx(0.8, abs=0.01)
