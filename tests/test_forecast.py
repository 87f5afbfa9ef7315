from __future__ import annotations

import pytest

from valley.forecast import forecast
from valley.picture import Tracked
from valley.places import Ticket
from valley.plan import Known


def job(kind, state, steps=0, name="x"):
    return Tracked(Ticket(kind, name, name), Known(state), steps)


def told(jobs, took=None, elapsed=0.0, estimates=None):
    return forecast(
        jobs,
        lambda job: (took or {}).get(job.ticket.kind),
        lambda job: elapsed,
        lambda job: (estimates or {}).get(job.ticket.kind),
    )


def test_trainings_are_expected_to_take_as_long_per_step_as_the_finished_ones():
    jobs = [job("train", "done", 10), job("train", "running", 40), job("train", "pending", 20)]
    end = told(jobs, {"train": 5.0})
    assert (end.left_s, end.lanes) == (30.0, 1) and end.basis == "1 finished train jobs"


def test_what_a_running_job_has_done_is_not_left_to_do():
    jobs = [job("grade", "done"), job("grade", "running")]
    assert told(jobs, {"grade": 8.0}, elapsed=3.0).left_s == 5.0
    assert told(jobs, {"grade": 8.0}, elapsed=99.0).left_s == 0.0


def test_work_is_shared_out_among_what_runs_at_once_and_no_shorter_than_its_longest_job():
    some = [job("grade", "done"), *[job("grade", "running")] * 4, *[job("grade", "pending")] * 4]
    assert told(some, {"grade": 8.0}).left_s == 16.0
    long = [job("train", "done", 1), *[job("train", "running", 1)] * 4, job("train", "pending", 9)]
    assert told(long, {"train": 1.0}).left_s == 9.0


def test_the_plans_estimate_stands_in_for_what_has_no_finished_like():
    jobs = [job("train", "running", 10), job("grade", "pending")]
    end = told(jobs, estimates={"train": 7.0, "grade": 1.0})
    assert end.left_s == 8.0
    assert end.basis == "the plan's estimate of grade jobs, the plan's estimate of train jobs"


@pytest.mark.parametrize(
    "jobs",
    [
        [],
        [job("train", "pending", 1)],
        [job("train", "done", 1)],
        [job("train", "done", 1), job("grade", "running")],
    ],
    ids=["nothing", "nothing runs", "all is done", "of no kind that finished or was estimated"],
)
def test_nothing_is_said_where_nothing_is_known(jobs):
    assert told(jobs, {"train": 1.0}) is None
