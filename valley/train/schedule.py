"""The schedule: the learning rate of every optimizer step."""

from __future__ import annotations

import math

from valley.train.config import TrainConfig


def learning_rate_at(step: int, steps: int, config: TrainConfig) -> float:
    """The learning rate of a step, from 0: linear warm-up, then constant, or cosine or linear decay to zero."""
    warmup = round(config.warmup_ratio * steps)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    match config.schedule:
        case "cosine":
            return config.learning_rate * 0.5 * (1 + math.cos(math.pi * done))
        case "linear":
            return config.learning_rate * (1 - done)
        case "constant":
            return config.learning_rate
