"""A job of a plan, and the trail from a sweep's cells to their jobs. Pure data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what reads jobs without making any has no use for the settings' classes
    from valley.data.config import DataConfig
    from valley.sweep import Cell


@dataclass(eq=False, slots=True)
class Job:
    """One unit of work. `identity` and `inputs` say what it is; the rest, how it is run and named.

    Nobody changes a job once it is made. It is not frozen because a hundred thousand cells make half a
    million of them, and that would take twice as long.
    """

    kind: str
    identity: str
    label: str
    config: dict[str, Any]
    inputs: dict[str, Job]
    execution: dict[str, Any] = field(default_factory=dict)
    after: tuple[Job, ...] = ()
    """Jobs that must have succeeded before, though no result depends on what they leave."""
    slot: str = ""
    """What tells jobs of one kind and parent apart: `pool`, `student`, a decoding profile."""
    short: str = ""
    """What Slurm shows while it runs; its first 8 characters tell kind, stage, arm, size and seed."""
    steps: int = 0
    """Optimizer steps of a training."""
    examples: int = 0
    """Examples of a training, or samples of a generation or grading."""
    parameters: float | None = None
    parents: tuple[Job, ...] = field(init=False)
    """What must be done before this job can run."""
    depth: int = field(init=False)
    """How many trainings lie before this job and in it."""

    def __post_init__(self) -> None:
        inputs = self.inputs.values()
        self.parents = (*inputs, *self.after)
        depth = 0
        for job in inputs:
            if job.depth > depth:
                depth = job.depth
        self.depth = depth + (self.kind == "train")

    def __hash__(self) -> int:
        return hash(self.identity)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and self.identity == other.identity


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a cell's trail: the cell, a decoding profile, and its jobs."""

    cell: Cell
    profile: str
    train: Job | None
    generate: Job
    grade: Job

    @property
    def earlier(self) -> list[tuple[Job, Job]]:
        """The generation and the grading of each earlier round of its samples, the first first."""
        found = []
        grade = self.grade
        while "earlier" in grade.inputs:
            grade = grade.inputs["earlier"]
            found.append((grade.inputs["samples"], grade))
        return found[::-1]


@dataclass(frozen=True)
class Trail:
    """The rows of all cells, their distinct jobs (parents before children), and the pools among them."""

    rows: list[Row]
    jobs: list[Job]
    pools: dict[str, DataConfig]
