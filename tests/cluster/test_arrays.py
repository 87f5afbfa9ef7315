from __future__ import annotations

import re
from pathlib import Path
from types import MappingProxyType

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from valley.cluster.arrays import leader_of, make_arrays
from valley.cluster.config import ResourcesByKind
from valley.cluster.submit import by_leader, dependency_of, note_places
from valley.plan import Known, decide
from valley.preview import cost_s
from valley.sweep import load_sweep
from valley.trail import trail

GRID = """
name: test
students:
  tiny: {source: tiny, first_lessons: {batch_size: 16}}
data: {source: tiny, pool_traces: 5000}
train: {batch_size: 16}
generate: {profiles: {greedy: {}, direct: {prefill: x}}}
stages: {1: {}, 2: {from: {size: 64}}}
grid:
  - {size: [0, 8, 16, 64], seed: [0, 1]}
  - {size: 16, data.data_seed: 1}
  - {stage: 2, size: [0, 8], difficulty: [easy, all]}
"""


@pytest.fixture(scope="module")
def sweep_and_trail(tmp_path_factory):
    path = tmp_path_factory.mktemp("a grid") / "grid.yaml"
    path.write_text(GRID)
    sweep, cells = load_sweep(path)
    return sweep, trail(sweep, cells)


def arrays_of(sweep, jobs, pack=1, **options):
    resources = ResourcesByKind.model_validate(
        {kind: {"pack": pack} for kind in ("train", "generate", "grade")}
    )
    return make_arrays(jobs, resources, lambda job: cost_s(job, sweep), sweep.name, **options)


def check(arrays, jobs, live=MappingProxyType({})):
    """Everything that Slurm's dependencies rest on."""
    places = dict(live)
    for number, array in enumerate(arrays):
        # As they are submitted: what follows an array has its indices.
        for elements in by_leader(array.elements, places):
            said = dependency_of(array, elements, places) or ""
            for element in elements:
                leaders = {leader_of(job) for job in element.jobs}
                led_by = {
                    places[leader.identity]
                    for leader in leaders
                    if leader and leader.identity in places
                }
                assert led_by <= {
                    f"{said.split(',')[0].removeprefix('aftercorr:')}_{element.index}"
                }
            note_places(places, elements, str(1000 + number))
    waiting = {job.identity for job in jobs}
    live = frozenset(live)
    placed = {}
    for number, array in enumerate(arrays):
        assert array.elements and len({e.index for e in array.elements}) == len(array.elements)
        if array.partner is not None:
            assert array.partner in arrays[:number], "a partner is submitted first"
            assert len(array.partner.elements) == len(array.elements), "one to one"
        for parent in array.parents:
            assert parent.identity in placed or parent.identity in live
        for element in array.elements:
            for job in element.jobs:
                assert job.kind == array.kind
                assert job.identity not in placed, "each job once"
                placed[job.identity] = (array, element.index)
        for element in array.elements:
            for job in element.jobs:
                for parent in job.parents:
                    if parent.identity not in waiting | live:
                        continue
                    beside = array.partner is not None and placed.get(parent.identity) == (
                        array.partner,
                        element.index,
                    )
                    # Behind an array of an earlier launch; its place was looked at above.
                    beside |= parent == leader_of(job) and parent.identity in live
                    covered = [j for p in array.parents for j in ancestors(p)]
                    if (leader := leader_of(job)) is not None and leader.identity in live:
                        covered += ancestors(leader)
                    if array.partner is not None:
                        covered += [j for p in array.partner.parents for j in ancestors(p)]
                        led_by = next(e for e in array.partner.elements if e.index == element.index)
                        covered += [j for other in led_by.jobs for j in ancestors(other)]
                    assert beside or parent in covered, (job.label, parent.label)
    assert placed.keys() == waiting


def ancestors(job):
    return [job, *(a for parent in job.parents for a in ancestors(parent))]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data(), pack=st.sampled_from([1, 2, 16]), most=st.sampled_from([1, 3, 1000]))
def test_whatever_is_done_every_job_waits_for_what_it_needs(sweep_and_trail, data, pack, most):
    sweep, planned = sweep_and_trail
    jobs = planned.jobs
    states = {
        job.identity: data.draw(st.sampled_from(["new", "new", "done", "running"])) for job in jobs
    }
    plan = decide(planned, lambda job: Known(states[job.identity]))
    submitted = [d.job for d in plan.with_action("submit")]
    # As an earlier launch would have submitted them, in arrays no larger than there may be.
    under_way = [d.job for d in plan.with_action("wait")]
    live = {job.identity: f"{7 + n // most}_{n % most}" for n, job in enumerate(under_way)}
    raised = frozenset(job.identity for job in submitted if data.draw(st.integers(0, 3)) == 0)
    arrays = arrays_of(
        sweep, submitted, pack, max_elements=most, live=live, share_s=100.0, raised=raised
    )
    check(arrays, submitted, live)
    for array in arrays:
        identities = {job.identity for element in array.elements for job in element.jobs}
        assert identities <= raised or not identities & raised
    assert all(len(array.elements) <= most for array in arrays)


def test_what_ran_out_of_memory_has_an_array_with_more_of_it(sweep_and_trail):
    _, planned = sweep_and_trail
    trains = [job for job in planned.jobs if job.kind == "train" and job.depth == 2]
    more = {"memory_gib": 64, "micro_batch_size": 1}
    resources = ResourcesByKind.model_validate({"train": {"on_out_of_memory": more}})
    raised = frozenset({trains[0].identity})
    arrays = make_arrays(trains, resources, lambda job: 1.0, "s", raised=raised)
    asked = {
        job.identity: (array.resources.memory_gib, array.execution)
        for array in arrays
        for element in array.elements
        for job in element.jobs
    }
    assert asked.pop(trains[0].identity) == (64, {"micro_batch_size": 1})
    assert asked and all(other == (None, {}) for other in asked.values())


def test_one_array_per_kind_and_depth(sweep_and_trail):
    sweep, planned = sweep_and_trail
    jobs = [j for j in planned.jobs if "data_seed=1" not in j.label]
    arrays = arrays_of(sweep, [j for j in jobs if j.slot != "pool"], pack=16)
    kinds = [(a.kind, a.elements[0].jobs[0].depth) for a in arrays if a.kind != "prepare"]
    assert len(kinds) == len(set(kinds)) or len(kinds) - len(set(kinds)) <= 3


def test_unpacked_profiles_have_arrays_of_their_own(sweep_and_trail):
    sweep, planned = sweep_and_trail
    jobs = planned.jobs
    arrays = arrays_of(sweep, jobs, pack=1)
    check(arrays, jobs)
    for array in arrays:
        assert all(len(element.jobs) == 1 for element in array.elements)
        if array.kind in ("generate", "grade"):
            assert len({element.jobs[0].slot for element in array.elements}) == 1


def test_packing_does_not_lengthen_an_array(sweep_and_trail):
    sweep, planned = sweep_and_trail
    jobs = planned.jobs

    def length(element):
        return sum(cost_s(job, sweep) for job in element.jobs)

    for array in arrays_of(sweep, jobs, pack=16):
        if array.kind == "train":
            longest = max(cost_s(job, sweep) for e in array.elements for job in e.jobs)
            assert max(map(length, array.elements)) <= longest * 1.01


def test_names_say_kind_and_depth_in_eight_letters(sweep_and_trail):
    sweep, planned = sweep_and_trail
    jobs = planned.jobs
    names = {array.name for array in arrays_of(sweep, jobs, pack=16)}
    assert all(re.match(r"(prep|train|gen|grade)\d", name) for name in names)
    assert {"train2-test", "gen2-test", "grade2-test", "train3-test"} <= names


def test_the_default_grid(tmp_path):
    sweep, cells = load_sweep(Path(__file__).parents[2] / "sweeps" / "grid.yaml")
    jobs = trail(sweep, cells).jobs
    arrays = make_arrays(
        jobs, sweep.resources, lambda job: cost_s(job, sweep), sweep.name, share_s=24
    )
    check(arrays, jobs)
    assert len(arrays) <= 14


def test_a_shared_generation_waits_for_its_shards_and_each_shard_for_its_training(spaced):
    path = spaced / "grid.yaml"
    path.write_text(GRID)
    sweep, cells = load_sweep(path, ["resources.generate.shards=3"])
    jobs = trail(sweep, cells).jobs
    arrays = make_arrays(jobs, sweep.resources, lambda job: cost_s(job, sweep), sweep.name)
    check(arrays, jobs)
    for array in arrays:
        first = array.elements[0].jobs[0]
        if "shards" in first.execution:
            assert array.partner is None and len(array.elements) == 1
            assert {job.identity for job in array.parents} == set(first.execution["shards"])
        elif first.kind == "generate" and array.partner is not None:
            assert array.partner.kind in ("train", "prepare")
            assert len({str(e.jobs[0].config["shard"]) for e in array.elements}) == 1
