from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valley.ledger import Ledger
from valley.plan import Known, decide
from valley.retention import needed
from valley.store import Store
from valley.sweep import load_sweep
from valley.trail import trail

GRID = """
name: test
students:
  tiny: {source: tiny, first_lessons: {batch_size: 16}}
  bare: {source: tiny, seed: 1}
data: {source: tiny, pool_traces: 1000}
train: {batch_size: 16}
generate: {profiles: {greedy: {}, direct: {prefill: x}}}
stages: {1: {}, 2: {from: {size: 64}}, 3: {from: {size: 16}}}
grid:
  - {size: [0, 8, 64], student: [tiny, bare]}
  - {stage: [2, 3], size: [0, 8]}
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A trail, the lines of its manifest, and its jobs by their folders."""
    folder = tmp_path_factory.mktemp("a sweep")
    (folder / "grid.yaml").write_text(GRID)
    planned = trail(*load_sweep(folder / "grid.yaml"))
    store, ledger = Store(folder), Ledger(folder / "sweeps" / "test")
    ledger.write_manifest(planned.rows, store)
    jobs = {
        str(store.folder(j.kind, j.label, j.identity).relative_to(store.path)): j
        for j in planned.jobs
    }
    return planned, list(ledger.rows()), jobs


def leaves_weights(job):
    return job.kind == "train" or job.slot == "student"


def checkpoints_of(jobs):
    return {place for place, job in jobs.items() if leaves_weights(job)}


def plan_of(planned, done, there):
    def known(job):
        pruned = leaves_weights(job) and job in done and job not in there
        return Known("done" if job in done else "new", pruned=pruned)

    return [(d.job.identity, d.action) for d in decide(planned, known).decisions]


def needed_of(rows, jobs, done, there):
    return needed(
        rows,
        lambda place: jobs[place] in done,
        lambda place: leaves_weights(jobs[place]),
        lambda place: jobs[place] in done and jobs[place] in there,
    )


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_pruning_what_is_not_needed_changes_no_plan(world, data):
    """Whatever is done and whatever was pruned before: no child that is not done loses what it needs."""
    planned, rows, jobs = world
    places = sorted(jobs)
    done = {jobs[place] for place in data.draw(st.sets(st.sampled_from(places)))}
    there = {jobs[p] for p in data.draw(st.sets(st.sampled_from(sorted(checkpoints_of(jobs)))))}
    keep = {jobs[place] for place in needed_of(rows, jobs, done, there)}
    assert plan_of(planned, done, there & keep) == plan_of(planned, done, there)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_what_is_kept_is_kept_for_a_reason(world, data):
    """Without any one of the weights that are kept, some job would have to be rebuilt."""
    planned, rows, jobs = world
    done = {jobs[place] for place in data.draw(st.sets(st.sampled_from(sorted(jobs))))}
    there = {job for job in done if leaves_weights(job)}
    for place in needed_of(rows, jobs, done, there):
        if (job := jobs[place]) in there:
            actions = dict(plan_of(planned, done, there - {job}))
            assert actions[job.identity] == "rebuild"


def test_a_finished_sweep_needs_no_weights_and_a_new_one_all(world):
    _, rows, jobs = world
    everything = set(jobs.values())
    assert needed_of(rows, jobs, everything, everything) == {}
    # The third stage starts from the 16 of the second, which are no cell: they are kept all the same.
    assert set(needed_of(rows, jobs, set(), set())) == checkpoints_of(jobs)


def test_a_child_keeps_what_it_starts_from_and_nothing_before_that(world):
    _, rows, jobs = world
    generation = next(
        p for p, j in jobs.items() if j.kind == "generate" and "tiny-t2-n8" in j.label
    )
    done = {job for place, job in jobs.items() if place != generation and job.kind != "grade"}
    kept = needed_of(rows, jobs, done, done)
    assert list(kept.values()) == [generation]
    assert [jobs[place].label for place in kept] == ["tiny-t2-n8-seed0"]
    # Without that, it is made again from the 64 of the first stage.
    kept = needed_of(rows, jobs, done, done - {jobs[place] for place in kept})
    assert [jobs[place].label for place in kept] == ["tiny-t2-n8-seed0", "tiny-t1-n64-seed0"]
