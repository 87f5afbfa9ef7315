from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from valley.train.config import TrainConfig
from valley.train.watchdog import Watchdog


def test_a_rank_that_hangs_ends_all_with_every_ranks_stack(run_ranks):
    config = {"batch_size": 4, "micro_batch_size": 2, "precision": "fp32", "stuck_after_s": 5}
    ends = {"by": "sleep", "rank": 1, "step": 5}
    began = time.monotonic()
    folder, _ = run_ranks({"half": config}, 2, ends=ends)
    assert time.monotonic() - began < 90  # it hangs for ten minutes
    first, second = (folder / "said").read_text().split("=== the next rank\n")
    for said in (first, second):
        assert "Timeout (0:00:05)!" in said  # the stacks' head
        assert "stuck: no progress for 5 s (train.stuck_after_s) after step 4;" in said
    assert "in all_reduce" in first and "in all_reduce" not in second
    assert (
        "in __call__" in second and "in __call__" not in first
    )  # of ranks.py's Flag, which sleeps


def test_signs_of_life_keep_it_quiet_and_so_does_the_end(monkeypatch, capfd):
    monkeypatch.setattr("valley.train.watchdog.TICK_S", 0.05)
    monkeypatch.setattr("valley.train.watchdog.GRACE_S", 0.05)
    said: list[str] = []
    with Watchdog(1.5, said.append) as watchdog:  # a busy machine may stand still for a second
        for step in range(40):
            time.sleep(0.05)
            watchdog.alive(step)
    with Watchdog(None, said.append):
        time.sleep(0.1)
    time.sleep(1.7)
    assert not said and "Timeout" not in capfd.readouterr().err
    with Watchdog(0.1, said.append) as watchdog:
        time.sleep(0.5)
        assert not said  # the first step may take longer
        watchdog.alive(7)
        deadline = time.monotonic() + 20
        while not said and time.monotonic() < deadline:
            time.sleep(0.02)
    assert [line.split(";")[0] for line in said] == [
        "stuck: no progress for 0.1 s (train.stuck_after_s) after step 7"
    ]
    assert "Timeout" in capfd.readouterr().err


HANGS = """
import os, sys, time
from valley.train import watchdog
watchdog.TICK_S = watchdog.GRACE_S = 0.1
watchdog.END_S = 0.5
if sys.argv[2] == "log":  # as a log on the same file system: a pipe that is full
    os.set_blocking(2, False)
    try:
        while os.write(2, bytes(4096)): pass
    except BlockingIOError:
        os.set_blocking(2, True)
with watchdog.Watchdog(0.5, lambda why: open(sys.argv[1], "w").write(why)) as dog:
    dog.alive(3)
    time.sleep(60)
"""


@pytest.mark.parametrize("hangs", ["note", "log"])
def test_it_ends_a_rank_whose_last_words_cannot_be_written(spaced, hangs):
    """A FIFO that nobody reads stands for a file of a file system that hangs."""
    os.mkfifo(spaced / "failed.json")
    command = [sys.executable, "-c", HANGS, str(spaced / "failed.json"), hangs]
    began = time.monotonic()
    with subprocess.Popen(command, stderr=subprocess.PIPE) as rank:
        try:
            assert rank.wait(timeout=30) == 1
        finally:
            rank.kill()
    assert time.monotonic() - began > 1.0


def test_when_it_counts_as_stuck_is_no_part_of_what_is_computed():
    assert TrainConfig(stuck_after_s=5).semantic() == TrainConfig().semantic()
