"""Trainings that a real Slurm preempts, or stops at their time limit, end as undisturbed ones: to the bit."""

from __future__ import annotations

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sweeping import MINI, command, launch, status

TWO_NODES = ["resources.train={nodes: 2}", "train.micro_batch_size=2"]
TWO_RANKS = ["resources.train={tasks_per_node: 2}", "train.micro_batch_size=2"]
OFTEN = "train.checkpoint_every_s=1"
ONE_PROFILE = "generate.profiles={greedy: {max_tokens: 24}}"


def settings(*values):
    return [part for value in (ONE_PROFILE, *values) for part in ("--set", value)]


def cell(steps):
    return f"grid=[{{size: 8, train.steps: {steps}}}]"


def slurm_launch(grid, root, *arguments):
    done = command("sweeps/launch.py", str(grid), "--cluster", "slurm", *arguments, root=root)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def folder_of(root):
    return next(iter(root.glob("store/train/*/*n8*")), None)


def stints(root):
    path = folder_of(root) / "stints.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()]


def whys(root):
    return [stint["why"] for stint in stints(root)]


def steps_done(root):
    """The steps that the training has logged; they are written down every second or so."""
    folder = folder_of(root)
    log = folder / "log.jsonl" if folder else None
    return len(log.read_text().splitlines()) if log and log.exists() else 0


PATIENCE_S = 900
"""For what takes seconds on a machine that has nothing else to do."""


def wait(reached, root, seconds=PATIENCE_S):
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, json.dumps(status(root))[-2000:]
        time.sleep(0.2)


def wait_for_training(root, seconds=PATIENCE_S):
    wait(lambda: (folder_of(root) / "result.json").exists(), root, seconds)
    wait(lambda: whys(root)[-1], root)  # the stint ends after it
    return (folder_of(root) / "model" / "model.safetensors").read_bytes()


def slurm_id(root):
    return stints(root)[-1]["slurm"]


def run(*words):
    subprocess.run(words, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    path = tmp_path_factory.mktemp("a grid") / "grid.yaml"
    path.write_text(MINI)
    return path


@pytest.fixture
def root(grid, spaced):
    """A root where all that comes before the cell's training is done."""
    done = launch(grid, spaced / "runs", *settings("grid=[{size: 0}]"))
    assert done.returncode == 0, done.stdout + done.stderr
    return spaced / "runs"


@pytest.fixture
def undisturbed(grid, spaced, root):
    """Begin the same training with as many ranks, from the same students, on this machine alone.

    It runs beside what is done to the other; what is returned waits for it, and gives its weights.
    """
    whole = spaced / "whole"
    with ThreadPoolExecutor(1) as beside:

        def begin(steps, *options):
            run("cp", "-r", str(root), str(whole))
            (whole / "launcher.lock").unlink(missing_ok=True)
            chosen = settings(cell(steps), *options)
            launched = beside.submit(launch, grid, whole, *chosen, timeout=2 * PATIENCE_S)

            def weights():
                done = launched.result()
                assert done.returncode == 0, done.stdout + done.stderr
                return (folder_of(whole) / "model" / "model.safetensors").read_bytes()

            return weights

        yield begin


def test_two_nodes_preempted_go_on_from_where_they_stopped(slurm, grid, root, undisturbed):
    steps = 600
    expected = undisturbed(steps, *TWO_RANKS)
    slurm_launch(grid, root, *settings(cell(steps), *TWO_NODES))
    wait(lambda: steps_done(root) > 20, root)
    run(
        "sbatch",
        "--partition=urgent",
        "--nodes=4",
        "--exclusive",
        "--output=/dev/null",
        "--wrap=true",
    )
    wait(lambda: "terminated" in whys(root), root)
    assert wait_for_training(root) == expected()
    assert whys(root) == ["preempted", "done"]
    first, second = stints(root)
    assert first["slurm"] == second["slurm"]
    log = [json.loads(line)["step"] for line in (folder_of(root) / "log.jsonl").open()]
    assert log == list(range(1, steps + 1))


@pytest.mark.slow
def test_two_nodes_at_their_time_limit_requeue_themselves(slurm, grid, root, undisturbed):
    """A limit of two minutes, which Slurm's clock reaches by itself, for a longer training.

    Slurm sends the signal up to half a minute early: of one minute a busy machine needs the rest to start.
    """
    steps = 12_000
    expected = undisturbed(steps, *TWO_RANKS)
    limit = [
        "resources.train={nodes: 2, time_limit_min: 2}",
        "train.micro_batch_size=2",
        "cluster.signal_lead_s=10",
        "cluster.retry.time_outs=20",
    ]
    slurm_launch(grid, root, *settings(cell(steps), *limit))
    assert wait_for_training(root, 2 * PATIENCE_S) == expected()
    assert whys(root)[-1] == "done" and set(whys(root)[:-1]) == {"time_limit"}
    assert len({stint["slurm"] for stint in stints(root)}) == 1


@pytest.mark.slow
def test_where_a_site_forbids_requeueing_the_next_launch_goes_on(slurm, grid, root, undisturbed):
    steps = 900
    expected = undisturbed(steps)
    chosen = settings(cell(steps), "cluster.requeue=false")
    slurm_launch(grid, root, *chosen)
    wait(lambda: steps_done(root) > 20, root)
    run("scancel", "--signal=USR2", slurm_id(root))  # as Slurm sends it before the limit
    wait(lambda: "time_limit" in whys(root), root)
    wait(lambda: status(root)[0]["state"] == "new", root)
    assert " of 900; resumes" in status(root)[0]["reason"]
    slurm_launch(grid, root, *chosen)
    assert wait_for_training(root) == expected()
    assert whys(root) == ["time_limit", "done"]
    assert len({stint["slurm"] for stint in stints(root)}) == 2


@pytest.mark.slow
def test_what_is_cancelled_stays_cancelled_and_a_retry_resumes_it(slurm, grid, root, undisturbed):
    steps = 900
    expected = undisturbed(steps)
    slurm_launch(grid, root, *settings(cell(steps)))
    wait(lambda: steps_done(root) > 20, root)
    run("scancel", slurm_id(root))
    wait(lambda: "cancelled" in status(root)[0]["reason"], root)
    assert whys(root) == ["terminated"]
    slurm_launch(grid, root, *settings(cell(steps)), "--retry", "failed")
    assert wait_for_training(root) == expected()
    assert whys(root) == ["terminated", "done"]


@pytest.mark.slow
def test_a_node_that_fails_costs_what_was_done_since_the_last_checkpoint(
    slurm, grid, root, undisturbed
):
    steps = 1500
    expected = undisturbed(steps, *TWO_RANKS)
    slurm_launch(grid, root, *settings(cell(steps), *TWO_NODES, OFTEN))
    wait(lambda: list(folder_of(root).glob("resume/step-*")) if folder_of(root) else [], root)
    slurm.kill_node("n2", tell_controller=True)
    try:
        wait(lambda: len(whys(root)) == 2, root)
        assert wait_for_training(root) == expected()
    finally:
        slurm.start_node("n2")
    # The rank that was left has lost the other, if it had time to notice.
    assert whys(root) in (["killed", "done"], ["failed", "done"])
