"""A launch that stays while Slurm is silent now and then. Slurm is scripted, since only so can it be silent
at each of its calls; tests/slurm/test_faults.py restarts a real one."""

from __future__ import annotations

import re
import time
from collections import Counter
from types import SimpleNamespace

import patience
import pytest
import running
from cluster.test_submit import indices_of
from running import Launch
from sweeping import MINI

from valley.cluster import sbatch, slurm
from valley.ledger import Ledger
from valley.store import Store
from valley.sweep import load_sweep
from valley.trail import trail


class Cluster:
    """A Slurm that does not answer some of its calls, and has room for so many elements."""

    def __init__(self, silent_at, room):
        self.silent_at, self.room = set(silent_at), room
        self.calls = 0
        self.tasks = {}
        self.submitted = Counter()
        self.looks = 0

    def answers(self):
        self.calls += 1
        return self.calls not in self.silent_at

    def call(self, command):
        if not self.answers():
            raise slurm.NoAnswer(f"{command[0]} failed")
        if command[0] == "scontrol":
            return "MaxArraySize = 1001\n"
        lines = [f"{a}|{i}|PENDING|Priority|{folder}" for (a, i), folder in self.tasks.items()]
        return "\n".join(lines)

    def submit(self, script):
        indices = indices_of(re.search(r"--array=(\S+)", script.read_text()).group(1))
        if len(indices) > self.room:
            raise sbatch.Refused("AssocMaxSubmitJobLimit", True)
        self.room -= len(indices)
        array = str(100 + self.calls)
        self.tasks.update({(array, index): script.parent for index in indices})
        self.submitted[re.sub(r"^\d+-\d+-|-\w+$", "", script.parent.name)] += len(indices)
        if not self.answers():  # it was heard, and its answer was lost
            raise slurm.NoAnswer("sbatch had no answer")
        return array

    def sleep(self, seconds):
        """Time passes: there is room again, until somebody presses Ctrl-C."""
        self.looks += 1
        self.room += 2
        if self.looks > 60:
            raise KeyboardInterrupt


@pytest.fixture
def follow(spaced, monkeypatch):
    grid = spaced / "grid.yaml"
    grid.write_text(MINI.replace("pack: 8", "pack: 1"))
    sweep, cells = load_sweep(grid)
    root = spaced / "runs"
    (root / "sweeps" / "mini").mkdir(parents=True)

    def run(silent_at, room=99):
        cluster = Cluster(silent_at, room)
        monkeypatch.setattr(slurm, "_call", cluster.call)
        monkeypatch.setattr(slurm, "why_silent", lambda: "")
        monkeypatch.setattr(slurm, "accounting_by_folder", lambda since: {})
        monkeypatch.setattr(sbatch, "submit", cluster.submit)
        clock = SimpleNamespace(sleep=cluster.sleep, monotonic=time.monotonic)
        for module in (patience, running):
            monkeypatch.setattr(module, "time", clock)
        monkeypatch.setattr(Launch, "snapshot", lambda self: root)
        ledger = Ledger(root / "sweeps" / "mini")
        launch = Launch(sweep, Store(root), ledger, "slurm", wait=True)
        return cluster, launch.run(trail(sweep, cells))

    return run


def test_each_job_is_submitted_once_whatever_slurm_does_not_answer(follow, capsys):
    silent_at = [1, 3, 4, 8, 9, 11, 15, 20, 24, 30, 31, 32]
    cluster, status = follow(silent_at)
    assert status == 130  # by Ctrl-C, after all of it was submitted
    assert cluster.calls > max(silent_at)
    # A pool and a student; first lessons and five trainings; five cells by two profiles.
    assert sum(cluster.submitted.values()) == 3 + 6 + 10 + 10
    assert capsys.readouterr().err.count("; asked again") == len(silent_at)


def test_what_is_held_is_submitted_once_as_room_appears_whatever_slurm_does_not_answer(follow):
    cluster, status = follow(range(5, 90, 3), room=1)
    assert status == 130 and cluster.calls > 90
    assert sum(cluster.submitted.values()) == 3 + 6 + 10 + 10


def test_a_silence_that_lasts_ends_the_launch(follow, monkeypatch):
    monkeypatch.setattr(patience, "PATIENCE_S", -1.0)
    with pytest.raises(slurm.NoAnswer, match="scontrol failed"):
        follow([1])


def test_words_of_a_controller_that_does_not_answer_are_told_from_refusals():
    said = "sbatch: error: Batch job submission failed: "
    for words in ("Unable to contact slurm controller (connect failure)", "Socket timed out on"):
        assert sbatch.names_silence(said + words)
    assert not sbatch.names_silence(said + "Invalid account or account/partition combination")
