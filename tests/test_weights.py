"""Weights that come and go, and what the plan's state and an element make of it."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from valley import weights
from valley.job import Job
from valley.job_file import identity_of, read_job, write_failure, write_result
from valley.ledger import Submission
from valley.processes import this_process
from valley.records import write_json
from valley.state import Ticket, knowledge
from valley.store import Store


def made(kind, name, inputs=None):
    ids = {role: job.identity for role, job in (inputs or {}).items()}
    return Job(kind, identity_of(kind, {"n": name}, ids), name, {"n": name}, inputs or {})


@pytest.fixture
def trained(spaced):
    """A training that is done, its store, and what its result says."""
    store = Store(spaced)
    job = made("train", "a-label")
    file = read_job(store.lay(job, {}))
    _save(file.folder)
    write_result(file, {"model": "model"}, {"wall_s": 2.0}, {"finished_at": "2026-01-02T03:04:05Z"})
    return store, job, file


def _save(folder):
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model" / "model.safetensors").write_bytes(b"x" * 3000)


def known(store, job, submissions=()):
    store.refresh()
    return knowledge(store, list(submissions))(Ticket(job.kind, job.identity))


def prune(store, job):
    folder = store.folder(job.kind, "", job.identity)
    weights.remove_weights(folder, store.result(job.kind, job.identity), "a test")


def test_a_pruned_training_is_done_without_weights(trained):
    store, job, file = trained
    assert known(store, job).state == "done" and not known(store, job).pruned
    assert weights.size_bytes(file.folder / "model") == 3000
    prune(store, job)
    assert not (file.folder / "model").exists()
    assert known(store, job).state == "done" and known(store, job).pruned
    assert store.result("train", job.identity)["outcome"] == {"model": "model"}


def test_what_never_had_weights_lacks_none(spaced):
    store, job = Store(spaced), made("grade", "g")
    write_result(read_job(store.lay(job, {})), {"counts": []}, {}, {})
    assert not known(store, job).pruned
    store.lay(job, {})  # by a launch that raced with it
    assert not (store.folder("grade", "", job.identity) / weights.MARKER).exists()


def test_killed_between_marker_and_removal_the_weights_count_as_pruned(trained, monkeypatch):
    store, job, file = trained
    result = store.result("train", job.identity)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            weights.remove_weights(file.folder, result, "a test")
    assert (file.folder / "model").is_dir() and weights.lacks_weights(file.folder, result)
    assert known(store, job).pruned
    since = weights.gone_since(file.folder, result)
    weights.remove_weights(file.folder, result, "a test")  # the next pruning removes the rest
    assert not (file.folder / "model").exists()
    assert weights.gone_since(file.folder, result) == since


def test_a_rebuild_ends_the_pruning_only_with_its_new_result(trained):
    store, job, _ = trained
    prune(store, job)
    again = read_job(store.lay(job, {}))
    _save(again.folder)
    assert known(store, job).pruned, "half written for all that anyone knows"
    write_result(again, {"model": "model"}, {"wall_s": 3.0}, {})
    assert not known(store, job).pruned
    assert store.result("train", job.identity)["cost"] == {"wall_s": 3.0}


def test_weights_removed_by_hand_are_rebuilt_the_same_way(trained):
    store, job, file = trained
    shutil.rmtree(file.folder / "model")
    assert known(store, job).pruned
    store.lay(job, {})
    _save(file.folder)  # the rebuild is about to write its result
    assert known(store, job).pruned


def submitted(job, at):
    """A submission on this machine, by this process, which is alive."""
    elements = [[job.identity]]
    return Submission("i", "local", Path("/nowhere"), elements, "1", at, this_process())


def test_a_rebuild_that_runs_is_waited_for_and_one_that_failed_is_told(trained):
    store, job, file = trained
    before = submitted(job, time.time() - 60)
    assert known(store, job, [before]).state == "done"
    prune(store, job)
    # The process that made the weights lives on, as one of a packed element may.
    assert known(store, job, [before]) == known(store, job)
    rebuild = submitted(job, time.time() + 60)
    running = known(store, job, [before, rebuild])
    assert (running.state, running.pruned) == ("running", True)
    write_failure(file, "ValueError: no", "/a/log")
    failed = known(store, job, [before, rebuild])
    assert (failed.state, failed.pruned, failed.reason) == ("failed", True, "ValueError: no")


def test_a_rebuild_by_hand_in_the_foreground_is_seen(trained):
    store, job, file = trained
    prune(store, job)
    write_json(file.folder / "running.json", this_process())
    assert known(store, job).state == "running"
