"""The launcher on a real Slurm cluster: the same sweep, submitted as arrays that wait for each other."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from scripted_checkout import Checkout
from scripted_jobs import DIES, World, array, job, make_snapshot
from sweeping import MINI, REPOSITORY, command, copy_beginning, results, status

from valley.cluster.config import ClusterConfig
from valley.cluster.submit import submit_to_slurm
from valley.errors import UserError

TWO_NODES = ["resources.train={nodes: 2}", "train.micro_batch_size=2"]
GREEDY = ["--set", "generate.profiles={greedy: {max_tokens: 24}}"]


def wait_until_done(root, seconds=900):
    """Wait until no cell of the newest sweep is running or queued."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        rows = status(root)
        if not {row["state"] for row in rows} & {"running", "pending", "new"}:
            return rows
        time.sleep(2)
    raise AssertionError(json.dumps(rows, indent=1)[-3000:])


def launch_on_slurm(grid, root, *arguments):
    return command("sweeps/launch.py", str(grid), "--cluster", "slurm", *arguments, root=root)


@pytest.fixture(scope="module")
def finished(slurm, tmp_path_factory):
    """A sweep that ran through Slurm; how squeue showed it right after the launch."""
    folder = tmp_path_factory.mktemp("a sweep")
    grid = folder / "grid.yaml"
    # Unpacked, so that there are arrays of several elements to wait for each other.
    unpacked = MINI.split("resources:")[0] + MINI[MINI.index("preview:") :]
    grid.write_text(unpacked.replace("[0, 8, 16]", "[8, 16]").replace("[easy, hard]", "easy"))
    done = launch_on_slurm(grid, folder / "runs")
    assert done.returncode == 0, done.stdout + done.stderr
    queue = subprocess.run(
        ["squeue", "--me", "--noheader", "--array", "--format=%j|%F|%K|%E"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    rows = wait_until_done(folder / "runs")
    return grid, folder / "runs", done.stdout, queue, rows


def test_every_cell_is_done(finished):
    _, root, said, _, rows = finished
    assert len(rows) == 6 and {row["state"] for row in rows} == {"done"}, rows
    assert "submitted" in said and "squeue --me" in said
    for result in results(root, "train").values():
        assert result["provenance"]["slurm"]["SLURM_JOB_ID"]


def test_arrays_wait_for_each_other(finished):
    """As Slurm itself showed them: readable names, and a generation that waits for its training."""
    *_, queue, _ = finished
    tasks = [line.split("|") for line in queue.splitlines()]
    names = {"train2-mini", "gen2-greedy-mini", "grade2-direct-mini", "train3-mini"}
    assert names <= {task[0] for task in tasks}
    ids = {name: array for name, array, *_ in tasks}
    for child, parent in (
        ("gen2-greedy-mini", "train2-mini"),
        ("grade2-direct-mini", "gen2-direct-mini"),
    ):
        shown = next(task[3] for task in tasks if task[0] == child)
        assert f"aftercorr:{ids[parent]}" in shown
    shown = next(task[3] for task in tasks if task[0] == "train3-mini")
    assert f"afterok:{ids['train2-mini']}" in shown


def test_a_second_launch_submits_nothing(finished):
    grid, root, *_ = finished
    before = sorted(path for path in root.glob("sweeps/mini/slurm/*"))
    done = launch_on_slurm(grid, root)
    assert done.returncode == 0 and "nothing to do" in done.stdout
    assert sorted(root.glob("sweeps/mini/slurm/*")) == before


def test_two_nodes_train_as_one_does(finished, spaced):
    """The same training on two nodes with gradient accumulation: equal losses, step by step."""
    grid, whole, *_ = finished
    root = copy_beginning(whole, spaced / "runs", trained=False)
    settings = [part for setting in TWO_NODES for part in ("--set", setting)]
    done = launch_on_slurm(grid, root, *settings, *GREEDY, "--set", "grid=[{size: 16}]")
    assert done.returncode == 0, done.stderr
    rows = wait_until_done(root)
    assert {row["state"] for row in rows} == {"done"}, rows
    apart = results(root, "train")
    for name, result in apart.items():
        assert result["cost"]["ranks"] == 2
        logs = [next(r.glob(f"store/train/*/{name}/log.jsonl")) for r in (whole, root)]
        one, two = ([json.loads(line) for line in log.read_text().splitlines()] for log in logs)
        assert [line["loss"] for line in two] == pytest.approx(
            [line["loss"] for line in one], rel=1e-5
        )
    assert len(apart) == 2


def test_a_failure_strands_its_own_children_alone(finished, spaced):
    grid, whole, *_ = finished
    root = copy_beginning(whole, spaced / "runs")
    settings = [
        *GREEDY,
        "--set",
        "grid=[{size: 8}, {size: 8, train.learning_rate: 1.0e+30, train.steps: 9}]",
    ]
    done = launch_on_slurm(grid, root, *settings)
    assert done.returncode == 0, done.stderr
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        rows = status(root)
        if sorted(row["state"] for row in rows) == ["done", "failed"]:
            break
        time.sleep(1)
    (failed,) = (row for row in rows if row["state"] == "failed")
    assert failed["kind"] == "train" and "diverged" in failed["reason"]
    assert "the training diverged" in Path(failed["log"]).read_text()
    again = launch_on_slurm(grid, root, *settings)
    assert again.returncode == 1 and "1 jobs have failed" in again.stdout


def test_a_sweep_that_was_cancelled_goes_on_at_the_next_launch(finished, spaced):
    grid, whole, *_ = finished
    root = copy_beginning(whole, spaced / "runs")
    settings = [*GREEDY, "--set", "grid=[{size: 8, train.steps: 200}]"]
    launch_on_slurm(grid, root, *settings)
    deadline = time.monotonic() + 120
    while not list(root.glob("store/train/*/*n8*/running.json")):
        assert time.monotonic() < deadline, status(root)
        time.sleep(0.1)
    cancelled = subprocess.run(
        [sys.executable, "sweeps/cancel.py", "mini", "--root", str(root)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert cancelled.returncode == 0 and "cancelled" in cancelled.stdout, cancelled.stderr
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        rows = status(root)
        if {row["state"] for row in rows} == {"new"}:
            break
        time.sleep(1)
    assert {row["state"] for row in rows} == {"new"}, rows
    assert "cancelled" in rows[0]["reason"]
    again = launch_on_slurm(grid, root, *settings)
    assert again.returncode == 0, again.stdout + again.stderr
    assert {row["state"] for row in wait_until_done(root)} == {"done"}


@pytest.mark.slow
def test_a_pruned_parent_is_rebuilt_as_an_array_and_its_new_child_runs(finished, spaced):
    grid, before, *_ = finished
    root = spaced / "runs"
    shutil.copytree(before, root, ignore=shutil.ignore_patterns("launcher.lock"))
    pruned = command("sweeps/prune.py", "--apply", root=root)
    assert pruned.returncode == 0 and not list(root.glob("store/*/*/*/model")), pruned.stderr
    trained = results(root, "train")
    child = ["--set", "grid=[{stage: 2, size: 4}]"]
    dry = launch_on_slurm(grid, root, *child, "--dry-run").stdout
    rebuilt = [line.split()[1:3] for line in dry.splitlines() if line.startswith("rebuild  ")]
    parents = ["tiny-first-lessons", "tiny-t1-n16-seed0"]
    assert rebuilt == [["prepare", "tiny"], *(["train", parent] for parent in parents)], dry
    done = launch_on_slurm(grid, root, *child)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 of those to run for weights that were pruned" in done.stdout
    names = [line.split()[2] for line in done.stdout.splitlines() if "submitted" in line]
    assert {"train1-lessons-mini", "train2-mini", "train3-mini"} <= set(names), names
    assert {row["state"] for row in wait_until_done(root)} == {"done"}
    again = results(root, "train")
    for name, result in trained.items():
        assert again[name]["outcome"]["loss_last"] == result["outcome"]["loss_last"]
        has_weights = any(name.startswith(parent) for parent in parents)
        folder = next(root.glob(f"store/train/*/{name}"))
        assert (folder / "model").is_dir() == has_weights != (folder / "pruned.json").exists()
        ids = again[name]["provenance"]["slurm"]["SLURM_JOB_ID"]
        assert (ids != result["provenance"]["slurm"]["SLURM_JOB_ID"]) == has_weights


@pytest.mark.parametrize("kill", ["true", "false"], ids=["cancelled by Slurm", "left waiting"])
def test_a_retry_takes_up_what_failed_and_what_waited_for_it(slurm, spaced, kill):
    site = f"cluster: {{kill_on_invalid_dep: {kill}}}\n"
    checkout = Checkout(spaced, "[{size: 8}]", site)
    done = checkout.launch("--set", "resources.train.python=/bin/false")
    assert done.returncode == 0, done.stdout + done.stderr
    # Nothing runs any more, and what is still queued will never run.
    if kill == "true":
        wait_for_queue("scripted", set())
    else:
        wait_for_queue("scripted", {"DependencyNeverSatisfied", "Dependency"})
    again = checkout.launch()
    assert again.returncode == 1 and "1 jobs have failed" in again.stdout, again.stdout
    retried = checkout.launch("--retry", "failed")
    assert retried.returncode == 0, retried.stdout + retried.stderr
    assert {row["state"] for row in wait_until_done(checkout.root)} == {"done"}
    wait_for_queue("scripted", set())


def wait_for_queue(sweep, reasons, seconds=600):
    """Wait until the tasks whose name ends so are queued or running for just these reasons."""
    deadline = time.monotonic() + seconds
    while True:
        lines = subprocess.run(
            ["squeue", "--me", "--noheader", "--array", "--format=%j|%r"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        tasks = [line.split("|") for line in lines]
        if {reason for name, reason in tasks if name.endswith(sweep)} == reasons:
            return
        assert time.monotonic() < deadline, lines
        time.sleep(0.5)


@pytest.fixture(scope="module")
def snapshot(slurm, tmp_path_factory):
    return make_snapshot(tmp_path_factory.mktemp("a snapshot"))


@pytest.fixture
def world(spaced, snapshot):
    return World(spaced / "runs", snapshot)


def submit(world, arrays, **config):
    site = ClusterConfig(**config)
    return submit_to_slurm(arrays, site, world.ledger, world.store, world.snapshot, {})


def test_a_rank_that_fails_ends_the_others_and_tells_why(world):
    failing = job("failing", kind="train", fails_in_rank=1, sleeps_s=200)
    ((made, job_id, count),) = submit(world, [array([failing], nodes=2)]).submitted
    assert (made.name, count) == ("test", 1) and job_id.isdigit()
    wait_for_queue("test", set(), seconds=60)
    known = world.known(failing)
    assert (known.state, known.reason) == ("failed", "ValueError: no luck")
    assert "Traceback" in Path(known.log).read_text()


def test_of_a_killed_pack_only_what_was_at_work_has_failed(world):
    pack = [job("a", kind="train"), job("b", kind="train", **DIES), job("c", kind="train")]
    submit(world, [array(pack)])
    wait_for_queue("test", set())
    assert [world.known(j).state for j in pack] == ["done", "failed", "new"]
    assert "had not begun" in world.known(pack[2]).reason


def test_what_sbatch_says_is_passed_on(world):
    with pytest.raises(UserError) as refused:
        submit(world, [array([job("a", kind="train")])], partition="nowhere")
    said = str(refused.value)
    assert "invalid partition specified: nowhere" in said
    assert "Batch job submission failed: Invalid partition name specified" in said
    assert len(said.splitlines()) == 1
