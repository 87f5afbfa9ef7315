"""Elements that are told to stop, on one machine: what goes on, how often, and what it says."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest
from scripted_jobs import World, array, job, make_snapshot

from valley.cluster.config import ClusterConfig
from valley.cluster.local import run_locally
from valley.cluster.stints import read_stints
from valley.processes import is_alive, process_start

AT_LIMIT = {"sends": ["SIGUSR2", "itself"]}  # what submitit's controller sends when it is near


@pytest.fixture(scope="session")
def snapshot(tmp_path_factory):
    return make_snapshot(tmp_path_factory.mktemp("a snapshot"))


@pytest.fixture
def world(spaced, snapshot):
    return World(spaced / "runs", snapshot)


def run(world, arrays, show=lambda progress: None, **retry):
    config = ClusterConfig(local_cpus=4, retry=retry)
    return run_locally(
        arrays, config, world.ledger, world.store, world.snapshot, lambda job: 1.0, show
    )


def whys(world, j):
    return [stint.why for stint in read_stints(world.folder(j))]


def test_what_the_others_of_a_pack_left_no_time_for_is_begun_again(world):
    first, late, last = job("first"), job("late", **AT_LIMIT, times=1), job("last")
    late_again = job("after", kind="grade", inputs={"data": late})
    progress = run(world, [array([first, late, last]), array([late_again])])
    assert not progress.failed and len(progress.finished) == 4
    assert world.attempts(first, late, last) == [1, 2, 1]
    assert whys(world, late) == ["time_limit", "done"]
    assert not (world.folder(late) / "stopped.json").exists()


def test_a_job_that_needs_more_than_the_whole_limit_has_failed(world):
    first, slow = job("first"), job("slow", **AT_LIMIT)
    progress = run(world, [array([first, slow])])
    assert "raise resources.prepare.time_limit_min" in progress.failed[slow.identity]
    assert whys(world, slow) == ["time_limit", "failed"]
    assert world.known(slow).state == "failed"


def test_the_budget_of_time_outs_ends_a_job(world):
    first, late = job("first"), job("late", **AT_LIMIT, times=1)
    progress = run(world, [array([first, late])], time_outs=0)
    said = progress.failed[late.identity]
    assert "stopped at its time limit 1 times; raise resources.prepare.time_limit_min" in said
    assert "cluster.retry.time_outs" in said
    assert whys(world, late) == ["failed"]


def test_an_interrupted_launcher_ends_its_elements_and_the_next_begins_them_again(world):
    slow = job("slow", sleeps_s=30)
    note = world.folder(slow) / "process-0.json"

    def show(progress):
        if note.exists():
            raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run(world, [array([slow])], show)
    assert time.monotonic() - began < 15
    assert is_alive(json.loads(note.read_text())) is False
    assert whys(world, slow) == ["terminated"]
    known = world.known(slow)
    assert (known.state, known.reason) == ("new", "interrupted")


STUBBORN = """
import ctypes, os, time
def run(job):
    (job.folder / "pid").write_text(str(os.getpid()))
    ctypes.PyDLL(None).sleep(60)  # holds the interpreter, as a collective operation that hangs may
"""


def test_what_does_not_heed_the_launcher_is_killed(world, spaced, monkeypatch):
    monkeypatch.setattr("valley.cluster.local_element.STOP_S", 1.0)
    snapshot = make_snapshot(spaced / "a stubborn snapshot")
    (snapshot / "jobs" / "prepare.py").write_text(STUBBORN)
    world.snapshot = snapshot
    stubborn = job("stubborn")
    note = world.folder(stubborn) / "pid"

    def show(progress):
        if note.exists() and note.read_text():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(world, [array([stubborn])], show)
    deadline = time.monotonic() + 5
    pid = int(note.read_text())
    while process_start(pid) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    left = process_start(pid)
    if left is not None:
        os.kill(pid, signal.SIGKILL)
    assert left is None


STOPS = """
import os, signal, time
from valley.cluster.signals import stop_signals
from valley.errors import Stopped
def run(job):
    with (job.folder / "attempts").open("a") as attempts:
        attempts.write("x")
    if (job.folder / "attempts").stat().st_size > job.config["times"]:
        return {}
    with stop_signals.heeded() as stop:
        os.kill(os.getpid(), signal.SIGUSR2)
        while not stop():
            time.sleep(0.01)
        raise Stopped(30, 90, fault="rank 0: [Errno 28] No space left on device", **job.config["says"])
"""


def test_a_last_step_that_could_not_be_kept_costs_what_came_after_the_one_before(world, spaced):
    """A full disk at the time limit: earlier checkpoints of this stint count, and without any it failed."""
    world.snapshot = make_snapshot(spaced / "a snapshot that stops")
    (world.snapshot / "jobs" / "prepare.py").write_text(STOPS)
    goes_on = job("goes on", times=1, says={"kept": 20, "gained": True})
    stands = job("stands", times=9, says={"kept": 10, "gained": False})
    progress = run(world, [array([goes_on], [stands])])
    assert list(progress.finished) == [goes_on.identity]
    assert whys(world, goes_on) == ["time_limit", "done"]
    assert whys(world, stands) == ["failed"]
    said = progress.failed[stands.identity]
    assert "stopped at step 30 of 90; the step could not be kept (rank 0: [Errno 28]" in said
    assert "so it goes on after step 10; it gained nothing before its time limit" in said
    assert world.known(stands).failure == "disk_full"


SLOW_STARTS = """
import os, signal, time
from valley.cluster.signals import stop_signals
from valley.errors import Stopped
def run(job):
    with (job.folder / "attempts").open("a") as attempts:
        attempts.write("x")
    how = job.config["starts"][(job.folder / "attempts").stat().st_size - 1]
    if how == "ends":
        return {}
    if how == "slow":
        os.kill(os.getpid(), signal.SIGUSR2)
        time.sleep(60)
    with stop_signals.heeded() as stop:
        os.kill(os.getpid(), signal.SIGUSR2)
        while not stop():
            time.sleep(0.01)
        raise Stopped(30, 90)
"""


def test_a_training_that_got_further_before_may_once_be_too_slow_to_start(world, spaced):
    world.snapshot = make_snapshot(spaced / "a snapshot that is slow")
    (world.snapshot / "jobs" / "prepare.py").write_text(SLOW_STARTS)
    once = job("once", starts=["further", "slow", "further", "ends"])
    twice = job("twice", starts=["further", "slow", "slow", "ends"])
    progress = run(world, [array([once], [twice])])
    assert list(progress.finished) == [once.identity]
    assert whys(world, once) == ["time_limit", "time_limit", "time_limit", "done"]
    assert whys(world, twice) == ["time_limit", "time_limit", "failed"]
    assert "raise resources.prepare.time_limit_min" in progress.failed[twice.identity]


COMES_LATE = """
import json, os, signal, time
from valley.cluster.rendezvous import join_process_group, place
from valley.processes import this_process
from valley.records import write_json
def run(job):
    rank = place().rank
    write_json(job.folder / f"process-{rank}.json", this_process())
    if rank == 1:  # still imports what it needs, when the signal comes to both
        while not list(job.folder.glob("rendezvous-*.json")):
            time.sleep(0.05)
        time.sleep(0.5)
        for each in (0, 1):
            note = json.loads((job.folder / f"process-{each}.json").read_text())
            os.kill(note["pid"], signal.SIGUSR2)
        time.sleep(60)
    join_process_group(place(), job.folder)
"""


def test_a_rank_that_waits_for_another_says_that_the_limit_came_before_it(world, spaced):
    world.snapshot = make_snapshot(spaced / "a snapshot of two ranks")
    (world.snapshot / "jobs" / "prepare.py").write_text(COMES_LATE)
    late = job("late")
    progress = run(world, [array([late], tasks_per_node=2)])
    assert "stopped at its time limit" in progress.failed[late.identity]
    assert whys(world, late) == ["failed"]


def test_where_it_stopped_is_told_and_that_it_resumes(world):
    j = job("a", kind="train")
    folder = world.store.lay(j, {})
    intent = {"event": "intent", "intent": "i", "cluster": "local", "folder": "local/i"}
    world.ledger.append({**intent, "elements": [[j.identity]]})
    (folder / "stopped.json").write_text('{"step": 30, "steps": 90, "log": "l"}')
    known = world.known(j)
    assert (known.state, known.log) == ("new", "l")
    assert known.reason == "stopped at its time limit at step 30 of 90; resumes"
    unkept = '{"step": 30, "steps": 90, "kept": 20, "fault": "No space left on device", "log": "l"}'
    (folder / "stopped.json").write_text(unkept)
    assert world.known(j).reason == (
        "stopped at its time limit at step 30 of 90; resumes after step 20, since this one could not be "
        "kept: No space left on device"
    )
    world.store.lay(j, {})
    assert not (folder / "stopped.json").exists()
