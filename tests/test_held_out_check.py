"""Held-out traces in the jobs of a plan, and sizes held against them."""

from __future__ import annotations

import json

import pytest

from valley.errors import UserError
from valley.held_out_check import check_held_out
from valley.lock import Locks
from valley.sweep import load_sweep
from valley.trail import trail
from valley.yaml_faults import write_yaml

GRID = """
name: test
students: {tiny: {source: tiny, first_lessons: {batch_size: 16}}}
data: {source: tiny, pool_traces: 1000}
train: {batch_size: 16}
generate: {profiles: {greedy: {}, direct: {}}}
grid:
  - {size: [0, 8, 64]}
"""
HELD = "generate.held_out={traces: 20}"


@pytest.fixture
def make(spaced):
    def planned(*settings, text=GRID):
        (spaced / "grid.yaml").write_text(text)
        return load_sweep(spaced / "grid.yaml", list(settings))

    return planned


def test_only_the_first_profile_is_generated_anew(make):
    plain, held = trail(*make()), trail(*make(HELD))
    for before, after in zip(plain.rows, held.rows, strict=True):
        first = after.profile == "greedy"
        assert (before.generate != after.generate) == first == (before.grade != after.grade)
        assert ("held_out" in after.generate.inputs) == first
        assert before.generate.inputs.items() <= after.generate.inputs.items()
    new = {job.label for job in held.jobs} - {job.label for job in plain.jobs}
    assert new == {"tiny-world-held-out"}
    trainings = [[job for job in t.jobs if job.kind == "train"] for t in (plain, held)]
    assert trainings[0] == trainings[1]


def test_the_baseline_is_measured_too_and_one_shard_of_each(make):
    alone, shared = trail(*make(HELD)), trail(*make(HELD, "resources.generate.shards=3"))
    assert {row.cell.axes["size"] for row in alone.rows} == {0, 8, 64}
    for one, many in zip(alone.rows, shared.rows, strict=True):
        assert one.generate == many.generate
        measured = ["held_out" in shard.inputs for shard in many.generate.after]
        assert measured == [one.profile == "greedy", False, False]


def test_locks_of_either_profile_plan_the_same_jobs(make, spaced):
    sweep, cells = make(HELD)
    whole = trail(sweep, cells)
    locks = Locks(sweep, whole.rows)
    for row in whole.rows:
        path = spaced / "lock.yaml"
        path.write_text(write_yaml(json.loads(json.dumps(locks.of(row.grade)))))
        assert row.grade in trail(*load_sweep(path, [])).jobs


def test_a_set_that_reaches_what_is_held_out_is_refused_before_anything_runs(make):
    check_held_out(trail(*make(HELD, "size=[0, 980]")), {})
    check_held_out(trail(*make("size=[0, 981]")), {})
    with pytest.raises(
        UserError, match=r"grid\[0\].size: a set of 981 traces .* at most 980 do not"
    ):
        check_held_out(trail(*make(HELD, "size=[0, 981]")), {})


def test_a_prepared_pool_decides_exactly(make):
    planned = trail(*make(HELD))
    (pool,) = {job.inputs["pool"].identity for job in planned.jobs if "held_out" in job.config}
    asked = []

    def room(arm, data_seed, config):
        asked.append(config)
        return 63

    with pytest.raises(UserError, match="at most 63 do not"):
        check_held_out(planned, {pool: room})
    assert asked == [{"traces": 20, "unit": "trace", "data_seed": 0, "prompt": "plain"}]
    check_held_out(planned, {pool: lambda *_: 64})
