"""The throughput model: how long work takes, as finished jobs of the same student took, else as the grid
assumes. Pure.

| kind | work | speed |
|---|---|---|
| train | 6 FLOPs per parameter and token of every example seen | FLOP/s of a rank |
| generate | tokens of every answer | tokens/s of a job |
| grade | programs | programs/s of a job |
| prepare | | seconds of a job |

A speed is the finished jobs' work over their time, so that long ones count for more. How many tokens an
example or an answer has is measured too. The start of a process is always the assumption's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from valley.job import Job
from valley.sweep import PreviewConfig, Sweep
from valley.train.throughput import training_flops

UNKNOWN_PARAMETERS = 1e9
"""Of a student whose grid does not say how large it is."""


@dataclass(frozen=True)
class Measured:
    """The work of finished jobs, in sum."""

    jobs: int = 0
    units: float = 0
    """Examples seen by a training; answers of a generation or grading."""
    tokens: float = 0
    seconds: float = 0
    """Of a training, seconds of ranks at work on steps; of others, on the clock."""

    def __add__(self, other: Measured) -> Measured:
        return Measured(
            self.jobs + other.jobs,
            self.units + other.units,
            self.tokens + other.tokens,
            self.seconds + other.seconds,
        )


Key = tuple[str, str, str]
"""Kind, the identity of the student's preparation, and what else its tokens depend on: `detail`."""
Measurements = Mapping[Key, Measured]


@dataclass(frozen=True)
class Work:
    """What jobs of one kind, student and detail ask for in sum."""

    kind: str
    student: str = ""
    detail: str = ""
    jobs: int = 1
    units: float = 0
    parameters: float = UNKNOWN_PARAMETERS
    lessons: bool = False
    most_tokens: float = math.inf
    """That an example or an answer can have, by its settings."""

    @property
    def key(self) -> Key:
        """What it is measured under."""
        return self.kind, self.student, self.detail


class Throughput:
    """Seconds of work, and what they rest on."""

    def __init__(self, sweep: Sweep, measured: Measurements | None = None) -> None:
        train = sweep.resources.train
        self.assumed = sweep.preview
        self.ranks = train.ranks
        self.measured = measured or {}
        self.by_student: dict[tuple[str, str], Measured] = {}
        for (kind, student, _), value in self.measured.items():
            self.by_student[kind, student] = (
                self.by_student.get((kind, student), Measured()) + value
            )

    def seconds(self, work: Work) -> float:
        """Estimated seconds of the work on one element's resources, without starts of processes."""
        match work.kind:
            case "train":
                flops = training_flops(work.parameters, work.units * self.tokens_per_unit(work))
                return flops / (self.rank_flops(work) * self.ranks)
            case "generate":
                return work.units * self.tokens_per_unit(work) / self.tokens_per_s(work)
            case "grade":
                found = self._of_student(work)
                rate = found.units / found.seconds if found else self.assumed.grade_samples_per_s
                return work.units / rate
            case _:
                return work.jobs * self.assumed.startup_s

    def tokens_per_unit(self, work: Work) -> float:
        """Tokens of an example that is trained on, or of an answer."""
        found = self.measured.get(work.key)
        if found and found.units:
            return found.tokens / found.units
        if work.kind == "generate":
            assumed = self.assumed.tokens_per_answer
        else:
            assumed = (
                self.assumed.tokens_per_lesson if work.lessons else self.assumed.tokens_per_trace
            )
        return min(assumed, work.most_tokens)

    def rank_flops(self, work: Work) -> float:
        """FLOP/s of one rank of a training."""
        if found := self._of_student(work):
            return training_flops(work.parameters, found.tokens / found.seconds)
        return assumed_flops(self.assumed)

    def tokens_per_s(self, work: Work) -> float:
        """Tokens per second of a generation, or of one rank of a training."""
        if found := self._of_student(work):
            return found.tokens / found.seconds
        return self.assumed.generate_tokens_per_s

    def basis(self, work: Work) -> str:
        """What the estimate of this work rests on, in words."""
        if work.kind == "prepare":
            return f"assumed {self.assumed.startup_s:g} s each"
        found = self._of_student(work)
        said = f"measured on {found.jobs} finished jobs:" if found else "assumed"
        match work.kind:
            case "train":
                flops = self.rank_flops(work)
                speed = f"{flops / 1e12:.3g} TFLOP/s per rank"
                if peak := self.assumed.peak_tflops:
                    speed += f" ({flops / 1e12 / peak:.1%} MFU of a peak of {peak:g})"
                return f"{said} {speed}; {self._length(work)} per example"
            case "generate":
                return f"{said} {self.tokens_per_s(work):,.0f} tokens/s; {self._length(work)} per answer"
            case _:
                rate = found.units / found.seconds if found else self.assumed.grade_samples_per_s
                return f"{said} {rate:,.3g} programs/s"

    def _length(self, work: Work) -> str:
        tokens = self.tokens_per_unit(work)
        if work.key in self.measured:
            return f"measured {tokens:,.0f} tokens"
        return (
            f"assumed {tokens:,.0f} tokens{' (max_tokens)' if tokens == work.most_tokens else ''}"
        )

    def _of_student(self, work: Work) -> Measured | None:
        found = self.by_student.get((work.kind, work.student))
        return found if found and found.seconds > 0 and (found.tokens or found.units) else None


def assumed_flops(assumed: PreviewConfig) -> float:
    """FLOP/s of one rank, as the grid assumes them."""
    if assumed.mfu is not None and assumed.peak_tflops is not None:
        return assumed.mfu * assumed.peak_tflops * 1e12
    return assumed.train_tflops * 1e12


def work_of(job: Job) -> Work:
    """The work of one job, of a student of which nothing was measured."""
    units: float = job.examples
    most_tokens = math.inf
    if job.kind == "train":
        config = job.config["train"]
        units = job.steps * int(config["batch_size"])
        if config.get("too_long") != "keep":
            most_tokens = config["max_tokens"]
    elif job.kind == "generate":
        most_tokens = job.config["profile"]["max_tokens"]
    return Work(
        job.kind,
        units=units,
        parameters=job.parameters or UNKNOWN_PARAMETERS,
        lessons=job.slot == "lessons",
        most_tokens=most_tokens,
    )
