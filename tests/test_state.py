from __future__ import annotations

from pathlib import Path

import pytest

from valley.cluster import slurm
from valley.ledger import Submission
from valley.processes import this_process
from valley.records import write_json
from valley.state import Ticket, knowledge
from valley.store import Store, identity_of, read_job, write_failure, write_result


@pytest.fixture
def laid(spaced):
    store = Store(spaced)
    identity = identity_of("train", {"n": 1}, {})
    folder = store.lay("train", "a-label", identity, {"n": 1}, {}, {})
    return store, identity, read_job(folder)


def submitted(identity, job_id="7", elements=None):
    return Submission("i", "slurm", Path("/logs"), elements or [["x"], [identity]], job_id)


@pytest.fixture
def scheduler(monkeypatch):
    """Slurm's answers, and how often it was asked."""
    asked = []

    def use(queue, accounting):
        monkeypatch.setattr(slurm, "queue", lambda: asked.append("squeue") or queue)
        monkeypatch.setattr(slurm, "accounting", lambda ids: asked.append("sacct") or accounting)
        return asked

    return use


def test_results_come_before_whatever_slurm_says(laid, scheduler):
    store, identity, job = laid
    asked = scheduler({("7", 1): slurm.Task("RUNNING", "None")}, {})
    write_result(job, {}, {}, {})
    assert knowledge(store, [submitted(identity)])(Ticket("train", identity)).state == "done"
    assert asked == []


@pytest.mark.parametrize(
    ("task", "state", "reason"),
    [
        (slurm.Task("RUNNING", "None"), "running", "job 7_1"),
        (slurm.Task("COMPLETING", "None"), "running", "job 7_1"),
        (slurm.Task("PENDING", "Dependency"), "pending", "job 7_1: Dependency"),
        (slurm.Task("REQUEUED", "BeginTime"), "pending", "BeginTime"),
        (slurm.Task("OUT_OF_MEMORY", "None"), "failed", "out of memory"),
        (slurm.Task("TIMEOUT", "TimeLimit"), "failed", "past its time limit"),
        (slurm.Task("NODE_FAIL", "NodeDown"), "failed", "its node failed"),
        (slurm.Task("CANCELLED", "DependencyNeverSatisfied"), "failed", "DependencyNeverSatisfied"),
        (slurm.Task("COMPLETED", "None"), "failed", "ended without a result"),
        (slurm.Task("FUTURE_WORD", "None"), "failed", "ended as FUTURE_WORD"),
    ],
)
def test_what_slurm_says_is_told_and_not_guessed(laid, scheduler, task, state, reason):
    store, identity, _ = laid
    scheduler({("7", 1): task}, {})
    known = knowledge(store, [submitted(identity)])(Ticket("train", identity))
    assert known.state == state and reason in known.reason
    assert known.log.endswith("/logs/7_1_0_log.err")


def test_accounting_is_asked_for_what_the_queue_forgot_and_each_once(laid, scheduler):
    store, identity, _ = laid
    asked = scheduler({}, {("7", 1): slurm.Task("FAILED", "exit code 1:0")})
    know = knowledge(store, [submitted(identity)])
    for _ in range(3):
        known = know(Ticket("train", identity))
    assert known.state == "failed" and "exit code 1:0" in known.reason
    assert asked == ["squeue", "sacct"]


def test_what_is_nowhere_is_lost_and_what_was_never_submitted_is_new(laid, scheduler):
    store, identity, _ = laid
    scheduler({}, {})
    assert knowledge(store, [submitted(identity)])(Ticket("train", identity)).state == "lost"
    assert knowledge(store, [])(Ticket("train", identity)).state == "new"


def test_the_last_submission_counts(laid, scheduler):
    store, identity, _ = laid
    scheduler({("7", 1): slurm.Task("FAILED", ""), ("9", 0): slurm.Task("PENDING", "Priority")}, {})
    twice = [submitted(identity), submitted(identity, "9", [[identity]])]
    known = knowledge(store, twice)(Ticket("train", identity))
    assert known.state == "pending" and known.log.endswith("/logs/9_0_log.err")


def test_an_array_whose_id_was_never_written_down_is_found_by_its_folder(laid, scheduler):
    store, identity, _ = laid
    scheduler({("12", 1): slurm.Task("PENDING", "Priority", "/logs")}, {})
    known = knowledge(store, [submitted(identity, None)])(Ticket("train", identity))
    assert (known.state, known.place) == ("pending", "12_1")
    scheduler({("12", 1): slurm.Task("PENDING", "Priority", "/other")}, {})
    known = knowledge(store, [submitted(identity, None)])(Ticket("train", identity))
    assert known.state == "new"


def test_a_failure_that_the_job_wrote_down(laid, scheduler):
    store, identity, job = laid
    scheduler({}, {})
    write_failure(job, "ValueError: no", "/a/log")
    known = knowledge(store, [])(Ticket("train", identity[:16]))
    assert (known.state, known.reason, known.log) == ("failed", "ValueError: no", "/a/log")


@pytest.mark.parametrize(
    ("who", "state"),
    [({}, "running"), ({"start": "1"}, "new"), ({"host": "elsewhere"}, "lost")],
    ids=["alive", "dead", "of another host"],
)
def test_processes_of_this_machine(laid, who, state):
    store, identity, job = laid
    write_json(job.folder / "running.json", {**this_process(), "log": "/a/log", **who})
    assert knowledge(store, [])(Ticket("train", identity)).state == state
