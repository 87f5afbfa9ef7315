"""The footprint: what jobs write to disk, in bytes. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from valley.job import Job

BYTES_PER_PARAMETER = {"fp32": 4, "bf16": 2}
RESUME_BYTES_PER_PARAMETER = 12
"""Of a checkpoint to resume from: weights and two moments in fp32, whatever the precision."""
BYTES_PER_TOKEN = 4
"""Of an answer's text."""
BYTES_PER_SAMPLE = 250
"""Of an answer or a verdict, without the answer's text."""
BYTES_PER_STEP = 170
"""Of a training's log."""
BYTES_PER_JOB = 16_000
"""Of a job's description, result and log."""


def weights_bytes(job: Job, parameters: float, steps: float = 0) -> float:
    """The weights that a job makes, those that a training keeps on its way included; 0 of one that
    makes none."""
    if job.kind == "train":
        students = 1 + _on_the_way(job.execution, steps)
        return students * parameters * BYTES_PER_PARAMETER[job.config["train"]["precision"]]
    return parameters * BYTES_PER_PARAMETER["bf16"] if job.slot == "student" else 0.0


def _on_the_way(execution: Mapping[str, Any], steps: float) -> float:
    """How many students a training of so many steps keeps beside the last."""
    every, most = execution["evaluation_every"], execution["keep_evaluation"]
    return min(max(steps - 1, 0) // every, most or math.inf) if every else 0


def output_bytes(kind: str, steps: int, answers: float, tokens_per_answer: float) -> float:
    """What jobs of a kind write beside weights, for so many steps of trainings, or answers in all."""
    match kind:
        case "train":
            return steps * BYTES_PER_STEP
        case "generate":
            return answers * (tokens_per_answer * BYTES_PER_TOKEN + BYTES_PER_SAMPLE)
        case "grade":
            return answers * BYTES_PER_SAMPLE
        case _:
            return 0.0


def resume_bytes(trainings: Iterable[tuple[Job, int, float]], at_once: int) -> float:
    """What trainings keep to resume from, if the largest of them run at once.

    Args:
        trainings: one of each sort, how many there are, and the student's parameters.
        at_once: how many run at once, at most.
    """
    sizes = []
    for job, number, parameters in trainings:
        # A new one is whole before an old one goes; where only a signal makes one, there is no old one.
        periodic = job.execution["checkpoint_every_s"]
        kept = job.execution["keep_resume"] + 1 if periodic else 1
        sizes.append((parameters * RESUME_BYTES_PER_PARAMETER * kept, number))
    found = 0.0
    for size, number in sorted(sizes, reverse=True):
        found += size * min(number, at_once)
        at_once -= min(number, at_once)
    return found
