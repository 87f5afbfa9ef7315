from __future__ import annotations

import pytest

from valley.forecast import forecast
from valley.picture import Tracked
from valley.places import Ticket
from valley.plan import Known


def job(kind, state, estimate=None):
    return Tracked(Ticket(kind, str(estimate), "x"), Known(state))


def told(jobs, took=None, elapsed=0.0):
    def estimate_s(job):
        return None if job.ticket.identity == "None" else float(job.ticket.identity)

    return forecast(jobs, estimate_s, lambda j: (took or {}).get(j.ticket.kind), lambda j: elapsed)


def test_estimates_are_corrected_by_what_finished_jobs_of_the_kind_took():
    jobs = [job("train", "done", 10), job("train", "running", 40), job("grade", "pending", 7)]
    end = told(jobs, {"train": 5.0})
    assert (end.left_s, end.lanes) == (40 * 0.5 + 7, 1)
    assert end.basis == "the launch's estimates, corrected by finished jobs (1 train)"


def test_what_a_running_job_has_done_is_not_left_to_do():
    jobs = [job("grade", "running", 8)]
    assert told(jobs, elapsed=3.0).left_s == 5.0
    assert told(jobs, elapsed=99.0).left_s == 0.0


def test_work_is_shared_out_among_what_runs_at_once_and_no_shorter_than_its_longest_job():
    some = [*[job("grade", "running", 8)] * 4, *[job("grade", "pending", 8)] * 4]
    assert told(some).left_s == 16.0
    assert told([*some, job("train", "new", 99)]).left_s == 99.0


def test_a_finished_job_that_no_launch_estimated_corrects_nothing():
    jobs = [job("train", "done"), job("train", "running", 4)]
    assert told(jobs, {"train": 100.0}).left_s == 4.0


@pytest.mark.parametrize(
    "jobs",
    [
        [],
        [job("train", "pending", 1)],
        [job("train", "done", 1)],
        [job("train", "running", 1), job("grade", "pending")],
    ],
    ids=["nothing", "nothing runs", "all is done", "something has no estimate"],
)
def test_nothing_is_said_where_nothing_is_known(jobs):
    assert told(jobs, {"train": 1.0}) is None
