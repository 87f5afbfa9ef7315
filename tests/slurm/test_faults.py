"""Faults, each injected for real into a sweep on a real cluster, and what is left of them.

Every sweep must end with all cells done, one accepted result each, none ever at work twice at once, and
results identical to an undisturbed sweep's. `make faults` runs all of them and writes docs/faults.md.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from disturbed import DisturbedSweep, make_checkout
from private_cluster import PrivateCluster
from trained_sweep import TrainedSweep, make_real_checkout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    return make_checkout(tmp_path_factory.mktemp("a checkout"))


@pytest.fixture(scope="module")
def undisturbed(slurm, checkout, tmp_path_factory):
    """The outcomes of a sweep that nothing happened to."""
    sweep = DisturbedSweep(checkout, tmp_path_factory.mktemp("undisturbed") / "runs", seconds=0.2)
    sweep.settle()
    answers = sweep.answers()
    assert len(answers) > 15
    sweep.check_sound(answers)
    return answers


@pytest.fixture
def sweep(slurm, checkout, spaced):
    """A sweep that is launched, with a first training at work."""
    made = DisturbedSweep(checkout, spaced / "runs")
    code, said = made.launch()
    assert code == 0, said
    return made


def at_work(sweep: DisturbedSweep, kind: str = "train") -> Path:
    """The folder of a job that has begun, once there is one."""
    return sweep.wait_for(lambda: sweep.begun(kind), what=f"no {kind} began")[0]


def element_of(folder: Path) -> str:
    """Slurm's name of the element that runs a job."""
    last = (folder / "beats.jsonl").read_text().splitlines()[-1]
    return str(json.loads(last)["run"]).rpartition(".")[0]


def beats(folder: Path) -> int:
    """How many tenths of a second a job has been at work."""
    return len((folder / "beats.jsonl").read_text().splitlines())


def call(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_task_is_killed(sweep, undisturbed, outcome):
    """SIGKILL of a task."""
    folder = at_work(sweep)
    os.kill(json.loads((folder / "running.json").read_text())["pid"], signal.SIGKILL)
    outcome(sweep, undisturbed, "--retry", "failed")


def test_an_element_is_cancelled(sweep, undisturbed, outcome):
    """`scancel` of an element."""
    folder = at_work(sweep)
    time.sleep(0.3)
    call("scancel", element_of(folder))
    outcome(sweep, undisturbed, "--retry", "failed")


@pytest.mark.slow
def test_a_node_dies_and_comes_back(slurm, sweep, undisturbed, outcome):
    """A node's slurmd and its jobs killed mid-job, and back."""
    at_work(sweep)
    node = call("squeue", "--noheader", "--states=RUNNING", "--format=%N").split()[0]
    slurm.kill_node(node, tell_controller=True)
    slurm.start_node(node)
    outcome(sweep, undisturbed)
    assert any(len(runs) > 1 for runs in sweep.runs().values()), "no job was on the node"


@pytest.mark.slow
def test_jobs_are_preempted(slurm, sweep, undisturbed, outcome):
    """Preemption by a higher partition."""
    sweep.order(seconds=6)
    at_work(sweep)
    time.sleep(0.5)
    urgent = ["sbatch", "--partition=urgent", "--nodes=4", "--exclusive", "--output=/dev/null"]
    call(*urgent, "--wrap=sleep 3")
    sweep.order(seconds=1)
    outcome(sweep, undisturbed)
    assert any(len(runs) > 1 for runs in sweep.runs().values()), "nothing was preempted"


@pytest.mark.slow
def test_a_time_limit_is_hit(slurm, sweep, undisturbed, outcome):
    """A job's time limit hit."""
    prepared = sweep.root.glob
    sweep.wait_for(lambda: len(list(prepared("store/prepare/*/*/result.json"))) == 4)
    sweep.order(seconds=90)
    folder = sweep.wait_for(lambda: [path for path in sweep.begun() if beats(path) > 20])[0]
    sweep.order(seconds=1)
    call("scontrol", "update", f"JobId={element_of(folder)}", "TimeLimit=00:00:02")
    outcome(sweep, undisturbed, "--retry", "timeout")


@pytest.mark.slow
def test_the_controller_restarts(slurm, sweep, undisturbed, outcome):
    """slurmctld restarted."""
    at_work(sweep)
    slurm.restart_controller()
    outcome(sweep, undisturbed)


@pytest.mark.slow
def test_accounting_is_down(slurm, sweep, undisturbed, outcome):
    """slurmdbd down from the first training to the end."""
    at_work(sweep)
    slurm.stop_accounting()
    try:
        outcome(sweep, undisturbed)
    finally:
        slurm.start_accounting()


def test_a_result_is_truncated(sweep, undisturbed, outcome):
    """A `result.json` cut in half, while the sweep runs."""
    path = sweep.wait_for(lambda: list(sweep.root.glob("store/train/*/*/result.json")))[0]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    outcome(sweep, undisturbed, "--retry", "failed")
    assert list(path.parent.glob("result.json.damaged-*"))


@pytest.mark.slow
def test_the_disk_is_full(slurm, checkout, undisturbed, spaced, outcome):
    """The disk (a small tmpfs) full while results are written, and free again."""
    disk = spaced / "small disk"
    disk.mkdir()
    call("mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(disk))
    try:
        sweep = DisturbedSweep(checkout, disk / "runs")
        assert sweep.launch()[0] == 0
        at_work(sweep)
        with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(b"\0" * 4096)
        time.sleep(3)
        (disk / "filler").unlink()
        outcome(sweep, undisturbed, "--retry", "failed")
    finally:
        # Lazily: a step of Slurm's may have its working folder there a moment longer.
        call("umount", "--lazy", str(disk))


@pytest.mark.slow
def test_a_fifth_of_the_jobs_fail(slurm, checkout, undisturbed, spaced, outcome):
    """Every job fails at its first run with a chance of 20 %, then `--retry failed`."""
    sweep = DisturbedSweep(checkout, spaced / "runs", seconds=0.2, failing=0.2)
    outcome(sweep, undisturbed, "--retry", "failed")


@pytest.mark.slow
def test_a_launch_that_waits_tries_again(slurm, checkout, undisturbed, spaced, outcome):
    """Every job loses a connection at its first run with a chance of 20 %, under `--wait`."""
    lost = "Connection reset by peer"
    sweep = DisturbedSweep(checkout, spaced / "runs", seconds=0.2, failing=0.2, error=lost)
    code, said = sweep.launch("--wait")
    assert code == 0 and "are tried again, by cluster.retry" in said, said
    outcome(sweep, undisturbed)
    assert outcome.launches == 0


@pytest.mark.slow
def test_a_checkpoint_is_half_written(slurm, spaced, outcome):
    """A preempted training's newest checkpoint cut in half, and another half-written, before it resumes."""
    checkout = make_real_checkout(spaced / "a checkout")
    whole = TrainedSweep(checkout, spaced / "whole")
    assert whole.run("launch", str(whole.grid), "--cluster", "local", timeout=900)[0] == 0
    sweep = TrainedSweep(checkout, spaced / "runs")
    assert sweep.launch()[0] == 0
    sweep.wait_for(sweep.kept, seconds=180, what="no checkpoint")
    outcome.started = time.monotonic()
    urgent = ["sbatch", "--partition=urgent", "--nodes=4", "--exclusive", "--output=/dev/null"]
    job = call(*urgent, "--parsable", "--wrap=sleep 600").strip()
    sweep.wait_for(lambda: "terminated" in sweep.whys(), what="was not preempted")
    newest = sweep.kept()[-1]
    files = [path for path in newest.rglob("*") if path.is_file()]
    cut = max(files, key=lambda path: path.stat().st_size)
    os.truncate(cut, cut.stat().st_size // 2)
    shutil.copytree(newest, newest.with_name(f".{newest.name}0.partial"))
    call("scancel", job)
    outcome(sweep, whole.answers())
    assert sweep.whys()[0] == "preempted" and sweep.whys()[-1] == "done"
    assert any("damaged" in path.read_text() for path in sweep.root.rglob("*_0_log.err"))


@pytest.mark.slow
def test_without_accounting(checkout, undisturbed, spaced, outcome):
    """SIGKILL of a task and `scancel` of an element, on a cluster without accounting."""
    with PrivateCluster(accounting=False) as cluster, pytest.MonkeyPatch.context() as patch:
        for name, value in cluster.env.items():
            patch.setenv(name, value)
        sweep = DisturbedSweep(checkout, spaced / "runs")
        assert sweep.launch()[0] == 0
        folder = at_work(sweep)
        os.kill(json.loads((folder / "running.json").read_text())["pid"], signal.SIGKILL)
        other = sweep.wait_for(lambda: [path for path in sweep.begun() if path != folder])[0]
        call("scancel", element_of(other))
        outcome(sweep, undisturbed, "--retry", "failed", "--retry", "lost")


def test_two_launchers_at_once(slurm, checkout, undisturbed, spaced, outcome):
    """Two launchers started at the same moment on one root."""
    sweep = DisturbedSweep(checkout, spaced / "runs", seconds=0.5)
    both = [sweep.start("launch", str(sweep.grid), "--cluster", "slurm") for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in both]
    codes = sorted(process.returncode for process in both)
    assert codes[0] == 0, said
    if codes[1] != 0:
        assert codes[1] == 2 and any("another launcher is at work" in text for text in said), said
    outcome(sweep, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_the_launcher_is_killed(slurm, checkout, undisturbed, spaced, seed, outcome):
    """The launcher killed (SIGKILL) after a random time, three times in a row."""
    sweep = DisturbedSweep(checkout, spaced / "runs", seconds=0.5)
    chance = random.Random(seed)
    for _ in range(3):
        process = sweep.start("launch", str(sweep.grid), "--cluster", "slurm")
        time.sleep(chance.uniform(0.3, 2.0))
        process.kill()
        process.communicate()
    outcome(sweep, undisturbed)
