"""A sweep on one machine whose training is interrupted, runs into its limit and is killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from sweeping import REPOSITORY, copy_beginning, launch, status

STEPS = 600
CELL = f"grid=[{{size: 8, train.steps: {STEPS}}}]"
SETTINGS = ["--set", CELL, "--set", "train.checkpoint_every_s=0.2"]
pytestmark = pytest.mark.xdist_group("launch")


def begin(grid, root):
    """Start a launcher in a process group of its own, as a terminal does."""
    command = ["sweeps/launch.py", str(grid), "--cluster", "local", *SETTINGS, "--root", str(root)]
    with (root.parent / "said").open("a") as said:
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=REPOSITORY,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=said,
            stderr=said,
            start_new_session=True,
        )


def cell_folder(root):
    """The folder of the long training, once there is one."""
    return next(iter(root.glob("store/train/*/*n8*")), None)


def wait_for(launcher, reached, seconds=120):
    deadline = time.monotonic() + seconds
    while not (found := reached()):
        assert launcher.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    return found


def kept(root):
    folder = cell_folder(root)
    names = [path.name for path in folder.glob("resume/step-*")] if folder else []
    return max((int(name[5:]) for name in names if name[5:].isdigit()), default=0)


def at_work(root, beyond=0):
    """The pid of the training, when it has kept a step beyond this one."""
    if kept(root) <= beyond:
        return None
    try:
        note = json.loads((cell_folder(root) / "running.json").read_text())
    except (OSError, ValueError):
        return None
    return note["pid"]


def weights(root):
    return (cell_folder(root) / "model" / "model.safetensors").read_bytes()


def stints(root):
    path = cell_folder(root) / "stints.jsonl"
    return [json.loads(line)["why"] for line in path.read_text().splitlines()]


def undisturbed(root, whole):
    """The weights and result of the same training, run once more by hand in a copy of the store."""
    shutil.copytree(root, whole)
    folder = cell_folder(whole)
    shutil.rmtree(folder / "model")
    for name in ("result.json", "stints.jsonl", "log.jsonl"):
        (folder / name).unlink()
    done = subprocess.run(
        [sys.executable, "jobs/train.py", str(folder)],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return weights(whole), outcome(whole)


def outcome(root):
    """The result of the long training, but for its speed."""
    told = json.loads((cell_folder(root) / "result.json").read_text())["outcome"]
    del told["tokens_per_s"], told["attempt"]
    return told


def test_interrupted_at_its_limit_and_killed_it_ends_as_an_undisturbed_one(finished, spaced):
    grid, before, _ = finished
    root = copy_beginning(before, spaced / "runs")
    launcher = begin(grid, root)
    wait_for(launcher, lambda: at_work(root))
    os.killpg(launcher.pid, signal.SIGINT)  # Ctrl-C: to everything in the terminal
    assert launcher.wait(60) == 130
    first = kept(root)
    assert first > 0 and stints(root) == ["terminated"]
    assert {row["state"] for row in status(root)} == {"new"}

    launcher = begin(grid, root)
    pid = wait_for(launcher, lambda: at_work(root, first))
    os.kill(pid, signal.SIGUSR2)  # its time limit is near: it goes on in another element
    wait_for(launcher, lambda: stints(root) == ["terminated", "time_limit", ""])
    second = kept(root)
    assert second > first
    pid = wait_for(launcher, lambda: at_work(root, second))
    os.kill(pid, signal.SIGKILL)
    assert launcher.wait(120) == 1
    assert not cell_folder(root).joinpath("model").exists()

    done = launch(grid, root, *SETTINGS, "--retry", "failed")
    assert done.returncode == 0, done.stdout + done.stderr
    assert stints(root) == ["terminated", "time_limit", "killed", "done"]
    assert (weights(root), outcome(root)) == undisturbed(root, spaced / "whole")
    assert not cell_folder(root).joinpath("resume").exists()
    lines = (cell_folder(root) / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, STEPS + 1))
