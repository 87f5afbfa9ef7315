from __future__ import annotations

from valley.canary import smallest_cell
from valley.preview import cost_s
from valley.sweep import load_sweep
from valley.trail import trail

GRID = """
name: test
students: {tiny: {source: tiny}}
data: {source: tiny}
train: {batch_size: 16}
generate: {profiles: {greedy: {}, direct: {prefill: x}}}
stages: {1: {}, 2: {from: {size: 64}}}
"""


def canary(spaced, grid):
    path = spaced / "grid.yaml"
    path.write_text(f"{GRID}grid: {grid}\n")
    sweep, cells = load_sweep(path)
    return smallest_cell(trail(sweep, cells), lambda job: cost_s(job, sweep))


def test_the_cheapest_cell_that_trains_goes_through_all_kinds(spaced):
    chosen = canary(spaced, "[{stage: 2, size: 16}, {size: [0, 256, 32]}]")
    assert {row.cell.axes["size"] for row in chosen.rows} == {32}
    assert [row.profile for row in chosen.rows] == ["greedy", "direct"]
    kinds = [job.kind for job in chosen.jobs]
    assert {"prepare", "train", "generate", "grade"} == set(kinds)
    assert kinds.count("train") == 1 and kinds.count("grade") == 2
    assert chosen.pools.keys() <= {job.identity for job in chosen.jobs} and chosen.pools


def test_without_a_training_it_is_a_baseline(spaced):
    assert {row.train for row in canary(spaced, "[{size: 0}]").rows} == {None}
