from __future__ import annotations

import pytest

from valley.power import detectable
from valley.statistics import minimum_detectable_difference
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
