"""A cluster that takes few jobs at once, and small arrays: what does not fit is held, and then submitted."""

from __future__ import annotations

import json
import subprocess
import time

import pytest
from private_cluster import PrivateCluster
from scripted_checkout import Checkout
from sweeping import status

from valley.cluster import slurm
from valley.ledger import all_submissions

MOST = 4
FIVE_CELLS = "[{size: [8, 16, 24, 32, 40]}]"
JOBS = 4 + 3 * 5


@pytest.fixture(scope="module")
def limited():
    """Each user may have four jobs queued or running, and an array three elements."""
    cluster = PrivateCluster(nodes=2, max_array_size=4, enforce_limits=True)
    with cluster, pytest.MonkeyPatch.context() as patch:
        for name, value in cluster.env.items():
            patch.setenv(name, value)
        command = ["sacctmgr", "-i", "modify", "user", "where", "name=root", "set"]
        subprocess.run([*command, f"MaxSubmitJobs={MOST}"], check=True, capture_output=True)
        time.sleep(1)  # slurmdbd tells slurmctld
        yield cluster


def live():
    return [task for task in slurm.queue().values() if task.state not in slurm.ENDED]


def test_what_does_not_fit_is_held_and_submitted_later(limited, spaced):
    checkout = Checkout(spaced, FIVE_CELLS)
    first = checkout.launch(SCRIPTED_S="1")
    assert first.returncode == 0, first.stdout + first.stderr
    assert "jobs held back, to be submitted by the next launch" in first.stdout
    assert "MaxSubmitJob" in first.stdout and len(live()) <= MOST
    rows = status(checkout.root)
    assert {row["state"] for row in rows} <= {"pending", "running", "new"}
    deadline = time.monotonic() + 120
    while len(checkout.results("prepare")) < 4:
        assert time.monotonic() < deadline, status(checkout.root)
        time.sleep(0.5)
    held = [row for row in status(checkout.root) if row["kind"] == "train"]
    assert held and all(row["reason"].startswith("held back: ") for row in held), held
    # Cut until it fits: five trainings were to run, and there is room for four.
    while live():
        assert time.monotonic() < deadline
        time.sleep(0.5)
    second = checkout.launch("--wait")
    assert second.returncode == 0, second.stdout + second.stderr
    assert "cells: 5 done" in second.stdout
    attempts = checkout.attempts()
    assert len(attempts) == JOBS and set(attempts.values()) == {1}, attempts


def test_no_array_is_larger_than_the_cluster_takes(limited, spaced):
    checkout = Checkout(spaced, FIVE_CELLS)
    assert checkout.launch("--wait").returncode == 0
    made = [s for s in all_submissions(checkout.root) if s.cluster == "slurm"]
    sizes = [len(submission.elements) for submission in made]
    assert max(sizes) <= 3 and sum(sizes) == JOBS
    for submission in made:
        assert all(submission.index(n) < 3 for n in range(len(submission.elements)))
    journal = checkout.root / "sweeps" / "scripted" / "journal.jsonl"
    events = [json.loads(line)["event"] for line in journal.read_text().splitlines()]
    assert "held" in events
