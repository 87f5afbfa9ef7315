from __future__ import annotations

import json
import resource
import time

import pytest

from valley.train.step_log import TENSORBOARD, StepLog
from valley.train.throughput import Throughput


def test_tensorboard_shows_the_steps_of_the_log_and_none_twice(spaced):
    """Steps behind a checkpoint that a resumed training goes on from are hidden."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    starts = ((0, range(1, 4), 2.0), (0, range(1, 6), 1.0), (3, range(4, 8), 0.5))
    for begin, steps, loss in starts:
        with StepLog(spaced / "log.jsonl", begin) as log:
            for step in steps:
                log.add(step, 9, loss, 1e-3, 2.0, Throughput())
        # TensorBoard reads files by their names: the second, and how many this process has made
        # before, where 10 comes before 9. A training is not resumed within the second.
        time.sleep(1.1)
    board = EventAccumulator(str(spaced / TENSORBOARD))
    board.Reload()
    assert {"loss", "learning_rate", "gradient_norm"} <= set(board.Tags()["scalars"])
    shown = [(scalar.step, scalar.value) for scalar in board.Scalars("loss")]
    assert shown == [(step, 1.0 if step < 4 else 0.5) for step in range(1, 8)]


def test_lines_wait_where_the_disk_takes_none(spaced, caplog, monkeypatch):
    """A limit on the sizes of files stands for a full disk: a part of a line is written, then nothing."""
    monkeypatch.setattr("valley.train.step_log._board", lambda path, begin: None)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    path = spaced / "log.jsonl"
    with StepLog(path, 0) as log:
        log.add(1, 9, 1.0, 1e-3, 2.0, Throughput())
        log.sync()
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, hard))
        try:
            for step in range(2, 5):
                log.add(step, 9, 1.0, 1e-3, 2.0, Throughput())
                log.sync()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        log.add(5, 9, 1.0, 1e-3, 2.0, Throughput())
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5]
    assert caplog.text.count("wait for room") == 1
