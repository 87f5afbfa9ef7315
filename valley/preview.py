"""The preview: what a plan costs, and what its grid can detect, before anything is submitted. Pure.

Costs are estimates: `throughput_model` says what they rest on. Disk is that of all jobs together; of it the
weights may go as cells are graded (`sweeps/prune.py`), and the rest stays. What trainings at work keep to
resume from comes on top, and goes with each that ends. Prepared data is not counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from valley.cluster.config import Resources
from valley.errors import UserError
from valley.footprint import BYTES_PER_JOB, output_bytes, resume_bytes, weights_bytes
from valley.job import Job
from valley.job_file import KINDS
from valley.plan import Plan
from valley.records import digest
from valley.sweep import Sweep
from valley.throughput_model import (
    UNKNOWN_PARAMETERS,
    Measurements,
    Throughput,
    Work,
    work_of,
)

CHECKPOINT_ROLE = {"train": "init", "generate": "model", "grade": "samples"}
"""Through which input each kind's student comes."""


def cost_s(job: Job, sweep: Sweep) -> float:
    """Seconds of a job on its resources by the grid's assumptions, without the start of its process."""
    return Throughput(sweep).seconds(work_of(job))


@dataclass(frozen=True)
class Cost:
    """What jobs of one kind that are to run ask for. Hours are of all elements in sequence."""

    kind: str
    rebuild: bool = False
    """Whether the jobs are done already and run again for their weights."""
    jobs: int = 0
    elements: int = 0
    """Processes, or sets of ranks: jobs may share one (`pack`)."""
    arrays: int = 0
    """About: as if every depth and profile had one, as long as the largest that is allowed."""
    nodes: int = 0
    """Of one element; of a total, the most that one element asks for."""
    hours: float = 0.0
    cpu_hours: float = 0.0
    gpu_hours: float = 0.0
    weights_bytes: float = 0.0
    other_bytes: float = 0.0
    """Answers, verdicts, logs and results, which stay."""
    resume_bytes: float = 0.0
    """What trainings keep to resume from, at the most at once."""
    basis: dict[str, str] = field(default_factory=dict)
    """What the hours rest on, by student and profile."""

    @property
    def name(self) -> str:
        """`train`, or `rebuild train`."""
        return f"rebuild {self.kind}" if self.rebuild else self.kind


def total(costs: Iterable[Cost]) -> Cost:
    """The sum of costs."""
    parts = list(costs)
    return Cost(
        "total",
        jobs=sum(c.jobs for c in parts),
        elements=sum(c.elements for c in parts),
        arrays=sum(c.arrays for c in parts),
        nodes=max((c.nodes for c in parts), default=0),
        hours=math.fsum(c.hours for c in parts),
        cpu_hours=math.fsum(c.cpu_hours for c in parts),
        gpu_hours=math.fsum(c.gpu_hours for c in parts),
        weights_bytes=math.fsum(c.weights_bytes for c in parts),
        other_bytes=math.fsum(c.other_bytes for c in parts),
        resume_bytes=math.fsum(c.resume_bytes for c in parts),
    )


def costs(
    plan: Plan,
    sweep: Sweep,
    measured: Measurements | None = None,
    max_elements: int = 1000,
    at_once: int | None = None,
) -> list[Cost]:
    """Estimated cost of what a plan would run, by kind, rebuilds apart.

    Args:
        measured: what finished jobs took, of `valley.measured`.
        max_elements: the largest array that the scheduler takes.
        at_once: the most trainings that run at once, where that is known beside `array_throttle`.
    """
    throughput = Throughput(sweep, measured)
    groups, students = _groups(plan)
    parameters = {g.student: g.first.parameters for g in groups if g.first.parameters is not None}
    by_kind: dict[tuple[bool, str], list[_Group]] = {}
    for group in groups:
        by_kind.setdefault((group.rebuild, group.first.kind), []).append(group)
    return [
        _cost(
            kind,
            rebuild,
            members,
            sweep,
            throughput,
            _Names(students, parameters),
            max_elements,
            at_once,
        )
        for (rebuild, kind), members in sorted(
            by_kind.items(), key=lambda item: (not item[0][0], KINDS.index(item[0][1]))
        )
    ]


@dataclass(slots=True)
class _Group:
    """Jobs that differ in nothing that a cost depends on but their lengths."""

    first: Job
    rebuild: bool
    student: str
    jobs: int = 0
    units: int = 0
    """Steps of trainings, answers of others."""


@dataclass(frozen=True)
class _Names:
    labels: dict[str, str]
    """Of students' preparations, by identity."""
    parameters: dict[str, float]


def _groups(plan: Plan) -> tuple[list[_Group], dict[str, str]]:
    """Jobs to run in groups, and the labels of all students. One pass, for a plan may be of 500,000."""
    student_of: dict[int, str] = {}
    labels: dict[str, str] = {}
    groups: dict[tuple, _Group] = {}
    for decision in plan.decisions:  # parents before children
        job = decision.job
        kind = job.kind
        # Jobs share the object of settings that they agree in.
        settings = job.config
        match kind:
            case "grade":
                student = student_of[id(job.inputs["samples"].inputs["model"])]
            case "generate":
                student = student_of[id(job.inputs["model"])]
            case "train":
                student = student_of[id(job)] = student_of[id(job.inputs["init"])]
                settings = settings["train"]
            case _:
                student = student_of[id(job)] = job.identity
                labels[student] = job.label
        action = decision.action
        if action != "submit" and action != "rebuild":
            continue
        key = (action, kind, student, id(settings), job.slot, job.depth)
        group = groups.get(key)
        if group is None:
            group = groups[key] = _Group(job, action == "rebuild", student)
        group.jobs += 1
        group.units += job.steps if kind == "train" else job.examples
    return list(groups.values()), labels


def _cost(
    kind: str,
    rebuild: bool,
    groups: list[_Group],
    sweep: Sweep,
    throughput: Throughput,
    names: _Names,
    max_elements: int,
    at_once: int | None,
) -> Cost:
    resources: Resources = getattr(sweep.resources, kind)
    seconds = weights = other = 0.0
    trainings: list[tuple[Job, int, float]] = []
    in_array: dict[tuple, int] = {}
    basis: dict[str, str] = {}
    for group in groups:
        work = _work(group, names.parameters)
        starts = group.jobs / resources.pack
        seconds += throughput.seconds(work) + starts * sweep.preview.startup_s
        each = weights_bytes(group.first, work.parameters, group.units / group.jobs)
        weights += group.jobs * each
        text = throughput.tokens_per_unit(work) if kind == "generate" else 0.0
        other += group.jobs * BYTES_PER_JOB + output_bytes(kind, group.units, work.units, text)
        if kind == "train":
            trainings.append((group.first, group.jobs, work.parameters))
        shared = group.first.depth, "" if resources.pack > 1 else group.first.slot
        in_array[shared] = in_array.get(shared, 0) + group.jobs
        basis.setdefault(_whose(group, names), throughput.basis(work))
    elements = [math.ceil(jobs / resources.pack) for jobs in in_array.values()]
    arrays = sum(math.ceil(count / max_elements) for count in elements)
    throttle = resources.array_throttle or sweep.cluster.array_throttle
    limits = [sum(elements), at_once, throttle and throttle * arrays]
    hours = seconds / 3600
    cpus = resources.ranks * resources.cpus_per_task
    return Cost(
        kind,
        rebuild,
        jobs=sum(group.jobs for group in groups),
        elements=sum(elements),
        arrays=arrays,
        nodes=resources.nodes,
        hours=hours,
        cpu_hours=hours * cpus,
        gpu_hours=hours * resources.nodes * resources.gpus_per_node,
        weights_bytes=weights,
        # What a rebuild writes beside the weights is there already.
        other_bytes=0.0 if rebuild else other,
        resume_bytes=resume_bytes(trainings, min(filter(None, limits))),
        basis=basis,
    )


def _work(group: _Group, parameters: dict[str, float]) -> Work:
    job = group.first
    work = replace(work_of(job), student=group.student, jobs=group.jobs)
    work = replace(work, parameters=parameters.get(group.student, UNKNOWN_PARAMETERS))
    if job.kind == "train":
        units = group.units * int(job.config["train"]["batch_size"])
        return replace(work, detail=job.slot or "traces", units=units)
    detail = digest(job.config) if job.kind == "generate" else ""
    return replace(work, detail=detail, units=group.units)


def _whose(group: _Group, names: _Names) -> str:
    """Whose work an estimate is of: a student's, by profile or in its first lessons."""
    if group.first.kind == "prepare":
        return ""
    student = names.labels[group.student]
    apart = group.first.kind == "generate" or group.first.slot == "lessons"
    return f"{student} {group.first.slot}" if apart else student


def check_budget(parts: list[Cost], gpu_hours: float) -> None:
    """Refuse what asks for more GPU-hours than are allowed.

    Raises:
        UserError: says what is asked, by kind, and how to ask for less.
    """
    asked = total(parts).gpu_hours
    if asked > gpu_hours:
        by_kind = ", ".join(f"{c.name} {c.gpu_hours:,.1f}" for c in parts if c.gpu_hours)
        raise UserError(
            f"--budget {gpu_hours:g}: the plan asks for about {asked:,.1f} GPU-hours ({by_kind}); "
            "nothing was submitted; run a part (--where 'size<=1000'), fewer seeds (--set seed=0), "
            "sizes or samples, or raise the budget"
        )
