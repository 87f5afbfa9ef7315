from __future__ import annotations

import time

import pytest

from valley.train.step_log import TENSORBOARD, StepLog
from valley.train.throughput import Throughput


def test_tensorboard_shows_the_steps_of_the_log_and_none_twice(spaced):
    """Steps behind a checkpoint that a resumed training goes on from are hidden."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for begin, steps, loss in ((0, range(1, 6), 1.0), (3, range(4, 8), 0.5)):
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
