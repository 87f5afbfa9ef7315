from __future__ import annotations

import pytest
from submitted import Submitted

from valley.cluster.config import RetryPolicy
from valley.plan import Known, decide
from valley.sweep import load_sweep
from valley.trail import trail

GRID = """
name: s
students: {tiny: {source: tiny, first_lessons: null}}
data: {source: tiny}
generate: {profiles: {greedy: {}}}
grid: [{size: [8, 16]}]
"""
POLICY = RetryPolicy(time_outs=2)


class Queue:
    """A sweep's jobs, and what is known of each."""

    def __init__(self, folder):
        path = folder / "grid.yaml"
        path.write_text(GRID)
        self.sweep, cells = load_sweep(path)
        self.planned = trail(self.sweep, cells)
        self.states = {job: Known("new") for job in self.planned.jobs}
        for job in self.planned.jobs:
            if job.kind == "prepare":
                self.states[job] = Known("done")
        row = self.planned.rows[0]
        self.train, self.generate, self.grade = row.train, row.generate, row.grade

    @property
    def plan(self):
        return decide(
            self.planned, self.states.__getitem__, policy=POLICY, resources=self.sweep.resources
        )

    def submit(self, submitted):
        """What is fresh, as a launch submits it."""
        fresh = [decision.job for decision in submitted.fresh(self.plan)]
        submitted.note(fresh)
        self.states.update(dict.fromkeys(fresh, Known("pending")))
        return fresh


@pytest.fixture
def queue(spaced):
    return Queue(spaced)


@pytest.fixture
def submitted(queue):
    made = Submitted(POLICY)
    kinds = ["train", "train", "generate", "generate", "grade", "grade"]
    assert [job.kind for job in queue.submit(made)] == kinds
    assert not queue.submit(made)
    return made


def test_what_was_cancelled_is_not_submitted_twice_nor_what_rests_on_it(queue, submitted):
    for job in (queue.train, queue.generate, queue.grade):
        queue.states[job] = Known("new", "cancelled")
    assert len(queue.plan.to_run) == 3 and not submitted.fresh(queue.plan)


def test_what_the_policy_tries_again_is_submitted_with_what_waited_for_it(queue, submitted):
    queue.states[queue.train] = Known("failed", "no", failure="node_failure")
    queue.states[queue.generate] = Known("new", "was waiting for train")
    assert submitted.retries(submitted.fresh(queue.plan)) == 2
    assert queue.submit(submitted) == [queue.train, queue.generate]
    # Slurm takes its time to cancel the last of what waited in vain.
    queue.states[queue.grade] = Known("new", "was waiting for generate")
    assert queue.submit(submitted) == [queue.grade]
    queue.states[queue.grade] = Known("new", "cancelled")
    assert not queue.submit(submitted)


def test_what_the_policy_leaves_alone_stays_so(queue, submitted):
    for failure, retries in (("code_error", 0), ("infrastructure", 1), ("time_out", 3)):
        known = Known("failed", "no", failure=failure, retries={failure: retries})
        queue.states[queue.train] = known
        queue.states[queue.generate] = Known("new", "was waiting for train")
        assert not submitted.fresh(queue.plan)


def test_what_was_stopped_at_its_time_limit_goes_on_as_often_as_it_may(queue, submitted):
    stopped = Known("new", "stopped at its time limit at step 3 of 9; resumes", resumes=True)
    for _ in range(POLICY.time_outs):
        queue.states[queue.train] = stopped
        assert queue.submit(submitted) == [queue.train]
    queue.states[queue.train] = stopped
    assert not queue.submit(submitted)


def test_what_reached_the_queue_before_slurm_fell_silent_counts_as_submitted(queue):
    made = Submitted(POLICY)
    made.begin(decision.job for decision in made.fresh(queue.plan))
    queue.states[queue.train] = Known("pending")  # and of the others Slurm has not heard
    made.settle(queue.plan)
    assert queue.train not in [d.job for d in made.fresh(queue.plan)]
    queue.states[queue.train] = Known("new", "cancelled")
    assert queue.train not in queue.submit(made)
