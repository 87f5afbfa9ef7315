"""Failures on a real Slurm cluster: each is told by its class, and the plan takes it up accordingly."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
from scripted_jobs import DIES, World, array, job, make_snapshot
from sweeping import REPOSITORY

from valley.attempts import note_attempt
from valley.cluster import slurm as cluster
from valley.cluster.config import ClusterConfig, ResourcesByKind, RetryPolicy
from valley.cluster.submit import submit_to_slurm
from valley.job import Row, Trail
from valley.ledger import CELL_SCHEMA
from valley.plan import decide


@pytest.fixture(scope="module")
def snapshot(slurm, tmp_path_factory):
    return make_snapshot(tmp_path_factory.mktemp("a snapshot"))


@pytest.fixture
def world(spaced, snapshot):
    return World(spaced / "runs", snapshot)


def submit(world, made, live=None):
    """Submit an array; Slurm's id of it."""
    site = ClusterConfig()
    outcome = submit_to_slurm([made], site, world.ledger, world.store, world.snapshot, live or {})
    return outcome.submitted[0][1]


def wait_until(condition, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, cluster.queue()
        time.sleep(0.2)


def wait_until_ended(world, jobs):
    wait_until(lambda: all(world.known(j).state not in ("running", "pending") for j in jobs))


def test_what_jobs_recorded_and_what_killed_them(world):
    jobs = {
        "code_error": job("a", kind="train", fails_in_rank=0),
        "out_of_memory": job("b", kind="train", allocates_mib=1 << 40),
        "disk_full": job("c", kind="train", raises=[122, "Disk quota exceeded"]),
        "unknown": job("d", kind="train", **DIES),
    }
    submit(world, array(*([j] for j in jobs.values())))
    wait_until_ended(world, jobs.values())
    known = {failure: world.known(j) for failure, j in jobs.items()}
    assert {said.state for said in known.values()} == {"failed"}
    assert {failure: said.failure for failure, said in known.items()} == {f: f for f in jobs}
    assert known["code_error"].line == "ValueError: no luck"
    assert known["out_of_memory"].line == "MemoryError"
    # SIGKILL, and no one says why: it is not taken for a want of memory.
    assert "resources.train.memory_gib" in known["unknown"].remedy


def test_a_cancelled_element_is_new_and_its_siblings_go_on(world):
    stays, goes = job("stays", kind="train", sleeps_s=3), job("goes", kind="train", sleeps_s=300)
    array_id = submit(world, array([stays], [goes]))
    wait_until(lambda: world.attempts(stays, goes) == [1, 1])
    cluster.cancel([cluster.elements_name(array_id, [1])])
    wait_until_ended(world, [stays, goes])
    assert world.known(stays).state == "done"
    known = world.known(goes)
    assert known.state == "new" and "cancelled" in known.reason


def test_accounting_tells_what_the_queue_forgot(world):
    jobs = [job("fine", kind="train"), job("dies", kind="train", **DIES)]
    array_id = submit(world, array(*([j] for j in jobs)))
    wait_until_ended(world, jobs)
    wait_until(lambda: (array_id, 1) in cluster.accounting([array_id]))
    told = cluster.accounting([array_id])
    assert {key: task.state for key, task in told.items()} == {
        (array_id, 0): "COMPLETED",
        (array_id, 1): "FAILED",
    }
    assert told[array_id, 1].exit_code != "0:0"


@pytest.mark.slow
def test_a_job_past_its_time_limit(world):
    late = job("late", kind="train", sleeps_s=300)
    submit(world, array([late], time_limit_min=1))
    wait_until(lambda: world.known(late).state not in ("running", "pending"), seconds=240)
    assert (world.known(late).state, world.known(late).failure) == ("failed", "time_out")


def test_a_lost_connection_is_tried_again_once_and_then_left_alone(world):
    lost = job("lost", kind="train", raises=[104, "Connection reset by peer"])
    grade = job("graded", kind="grade", inputs={"samples": lost})
    trail = Trail([Row(None, "p", lost, lost, grade)], [lost, grade], {})

    def decision():
        world.store.refresh()
        plan = decide(trail, world.known, policy=RetryPolicy(), resources=ResourcesByKind())
        return plan.decisions[0]

    for number in range(2):
        submit(world, array([lost]))
        wait_until_ended(world, [lost])
        found = decision()
        assert found.failure == "infrastructure" and world.attempts(lost) == [number + 1]
        if number == 0:
            assert found.action == "submit" and "retry 1 of 1" in found.reason
            note_attempt(world.folder(lost), found.known.attempt, found.failure)
    assert found.action == "failed"


def test_cancelling_a_part_keeps_what_the_rest_needs(world):
    """Two cells share a training; only one's generation is meant."""
    shared = job("shared", kind="train", sleeps_s=300)
    children = [job(f"g{n}", kind="grade", inputs={"samples": shared}) for n in range(2)]
    submit(world, array([shared]))
    submit_children(world, children, shared)
    lines = [line(world, n, shared, child) for n, child in enumerate(children)]
    world.ledger.manifest.write_text("".join(lines))
    wait_until(lambda: world.attempts(shared) == [1])
    said = cancel(world, "--where", "size=1", "--dry-run")
    assert "would cancel 1 elements (0 running, 1 queued)" in said
    known = world.known(children[1])
    assert known.state == "pending"
    said = cancel(world, "--where", "size=1")
    assert f"scancel {known.place.replace('_', '_[')}]" in said
    assert "kept: 1 elements that others need: cells beside --where" in said
    wait_until(lambda: world.known(children[1]).state == "new")
    assert world.known(shared).state == "running"
    assert world.known(children[0]).state == "pending"
    assert "2 elements (1 running, 1 queued)" in cancel(world)
    wait_until(lambda: world.known(shared).state == "new")
    assert "nothing to cancel" in cancel(world)


def submit_children(world, children, parent):
    made = array(*([child] for child in children))
    made.parents = [parent]
    submit(world, made, {parent.identity: world.known(parent).place})


def line(world, size, train, grade):
    def place(j):
        return str(world.folder(j).relative_to(world.store.path))

    value = {
        "schema": CELL_SCHEMA,
        "cell": f"n{size}",
        "profile": "p",
        "axes": {"student": "tiny", "stage": 1, "size": size},
        "steps": 1,
        "before": [],
        "jobs": {"train": place(train), "generate": None, "grade": place(grade)},
    }
    return json.dumps(value) + "\n"


def cancel(world, *arguments):
    root = str(world.store.root)
    done = subprocess.run(
        [sys.executable, "sweeps/cancel.py", "s", *arguments, "--root", root],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
