"""The plan: what a sweep's cells need computed, what of it exists, and what is to be done about the rest.

Pure: it is given the cells and what is known of each job, and returns rows of (action, reason, job).
A job's identity is the hash of its kind, its settings that matter to the result and its inputs'
identities, so cells that share a prefix share its jobs, also across sweeps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from valley.errors import UserError
from valley.store import identity_of
from valley.sweep import Cell, Sweep

Action = Literal["done", "submit", "wait", "failed", "lost", "blocked"]
MAX_LABEL = 120


@dataclass(frozen=True)
class Job:
    """One unit of work. `identity` and `inputs` say what it is; the rest, how it is run and named."""

    kind: str
    identity: str
    label: str
    config: dict[str, Any]
    inputs: dict[str, Job]
    execution: dict[str, Any] = field(default_factory=dict)
    slot: str = ""
    """What tells jobs of one kind and parent apart: `data`, `student`, a decoding profile."""
    steps: int = 0
    """Optimizer steps of a training."""
    examples: int = 0
    """Examples of a training, or samples of a generation or grading."""
    parameters: float | None = None

    def __hash__(self) -> int:
        return hash(self.identity)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and self.identity == other.identity

    @property
    def depth(self) -> int:
        """How many trainings lie before this job and in it."""
        before = max((job.depth for job in self.inputs.values()), default=0)
        return before + (self.kind == "train")


@dataclass(frozen=True)
class Row:
    """One line of a cell's trail: the cell, a decoding profile, and its jobs."""

    cell: Cell
    profile: str
    train: Job | None
    generate: Job
    grade: Job


@dataclass(frozen=True)
class Known:
    """What is known of a job: its state, why, where its log stands, and the scheduler's name for it."""

    state: Literal["done", "running", "pending", "failed", "lost", "new"]
    reason: str = ""
    log: str = ""
    place: str = ""


@dataclass(frozen=True)
class Decision:
    """What is to be done about a job, and why; its log and the scheduler's name, where it has any."""

    job: Job
    action: Action
    reason: str
    log: str = ""
    place: str = ""


@dataclass(frozen=True)
class Plan:
    """A sweep's trail, and a decision per job, parents before children."""

    rows: list[Row]
    decisions: list[Decision]

    def with_action(self, *actions: Action) -> list[Decision]:
        """The decisions with one of these actions."""
        return [d for d in self.decisions if d.action in actions]


class _Builder:
    """Makes each job of a sweep once."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self.jobs: dict[str, Job] = {}

    def job(
        self, kind: str, label: str, config: dict[str, Any], inputs: dict[str, Job], **rest: Any
    ) -> Job:
        identity = identity_of(kind, config, {role: j.identity for role, j in inputs.items()})
        if identity not in self.jobs:
            # A folder's name: what a student or a profile is called may be no part of a path.
            safe = "".join(c if c.isalnum() or c in "._=-" else "_" for c in label)[:MAX_LABEL]
            self.jobs[identity] = Job(kind, identity, safe, config, inputs, **rest)
        return self.jobs[identity]

    def data(self, cell: Cell) -> Job:
        recipe = cell.recipe
        config = {"data": recipe.data.semantic(), "grade": recipe.grade.model_dump(mode="json")}
        execution = recipe.data.execution()
        return self.job("prepare", recipe.data.label, config, {}, execution=execution, slot="data")

    def first_checkpoint(self, cell: Cell) -> Job:
        """The student itself, after its first lessons where it has any."""
        name = cell.axes["student"]
        student = self.sweep.students[name]
        config = student.model_dump(mode="json", exclude={"first_lessons", "parameters_million"})
        # A tiny student's vocabulary comes from the data, so the data is one of its inputs.
        inputs = {"data": self.data(cell)} if student.source == "tiny" else {}
        initial = self.job("prepare", name, {"student": config}, inputs, slot="student")
        if student.source != "tiny" or student.first_lessons is None:
            return initial
        lessons = student.first_lessons
        examples = cell.recipe.data.lessons
        return self.job(
            "train",
            f"{name}-first-lessons",
            {
                "train": lessons.semantic(),
                "select": "lessons",
                "seed": student.seed,
                "data_seed": cell.recipe.data.data_seed,
            },
            {"init": initial, "data": self.data(cell)},
            execution=_execution(lessons),
            slot="lessons",
            steps=lessons.total_steps(examples),
            examples=examples,
            parameters=student.parameters,
        )

    def stage_start(self, cell: Cell) -> Job:
        """The checkpoint that a cell's stage starts from."""
        number = cell.axes["stage"]
        parent = self.sweep.stages[number].parent
        if parent is None:
            return self.first_checkpoint(cell)
        axes = {
            "student": cell.axes["student"],
            "stage": parent.stage if parent.stage is not None else number - 1,
            "size": parent.size,
            "difficulty": parent.difficulty,
            "correctness": parent.correctness,
            "seed": parent.seed,
        }
        # A cell's own training axes (a control's steps) are its own; the parent has the recipe's.
        recipe = type(cell.recipe)(
            cell.recipe.data, self.sweep.train, cell.recipe.generate, cell.recipe.grade
        )
        return self.checkpoint(Cell(axes, recipe))

    def checkpoint(self, cell: Cell) -> Job:
        """The checkpoint that a cell is evaluated with."""
        start = self.stage_start(cell)
        if cell.is_baseline:
            return start
        axes, train = cell.axes, cell.recipe.train
        select = {
            "size": axes["size"],
            "difficulty": axes["difficulty"],
            "correctness": axes["correctness"],
        }
        return self.job(
            "train",
            cell.label,
            {
                "train": train.semantic(),
                "select": select,
                "seed": axes["seed"],
                "data_seed": cell.recipe.data.data_seed,
            },
            {"init": start, "data": self.data(cell)},
            execution=_execution(train),
            steps=train.total_steps(axes["size"]),
            examples=axes["size"],
            parameters=self.sweep.students[axes["student"]].parameters,
        )

    def rows(self, cell: Cell) -> list[Row]:
        """The trail of a cell, one row per decoding profile."""
        model, data, recipe = self.checkpoint(cell), self.data(cell), cell.recipe
        rows = []
        for name, profile in recipe.generate.profiles.items():
            samples = recipe.data.evaluation_size * profile.samples
            common = {"slot": name, "examples": samples, "parameters": model.parameters}
            generate = self.job(
                "generate",
                f"{cell.label}-{name}",
                {
                    "profile": profile.model_dump(mode="json"),
                    "batch_size": recipe.generate.batch_size,
                },
                {"model": model, "data": data},
                **common,
            )
            grade = self.job(
                "grade",
                f"{cell.label}-{name}",
                recipe.grade.model_dump(mode="json"),
                {"samples": generate, "data": data},
                **common,
            )
            train = model if not cell.is_baseline else None
            rows.append(Row(cell, name, train, generate, grade))
        return rows


def _execution(train: Any) -> dict[str, Any]:
    return {name: getattr(train, name) for name in sorted(train.EXECUTION_FIELDS)}


def trail(sweep: Sweep, cells: list[Cell]) -> tuple[list[Row], list[Job]]:
    """The rows of all cells, and their distinct jobs, parents before children."""
    builder = _Builder(sweep)
    rows = [row for cell in cells for row in builder.rows(cell)]
    order = {"prepare": 0, "train": 1, "generate": 2, "grade": 3}
    jobs = sorted(builder.jobs.values(), key=lambda job: (job.depth, order[job.kind]))
    return rows, jobs


def check_pool(rows: list[Row], strata: Mapping[str, Mapping[str, int]]) -> None:
    """Refuse cells that ask for more traces than the pool can hold.

    Args:
        strata: exact counts by `difficulty/correctness` of the data sets that are prepared, by their
            job's identity; of others the source's upper bound is used.

    Raises:
        UserError: names the cell, the size wanted, and what there is.
    """
    for row in rows:
        axes, data = row.cell.axes, row.cell.recipe.data
        known = strata.get(row.generate.inputs["data"].identity)
        stratum = f"{axes['difficulty']}/{axes['correctness']}"
        limit = (
            known[stratum] if known else data.pool_limit(axes["difficulty"], axes["correctness"])
        )
        if limit is not None and axes["size"] > limit:
            raise UserError(
                f"cell {row.cell.label}: size {axes['size']} is larger than the pool: "
                f"{'' if known else 'at most '}{limit} traces are {stratum}; "
                "ask for a smaller size, or for a larger pool under `data`"
            )


def decide(
    rows: list[Row],
    jobs: list[Job],
    known: Callable[[Job], Known],
    retry: frozenset[str] = frozenset(),
) -> Plan:
    """Decide what is to be done about each job.

    A job whose result exists is done even if its parents' results are gone. What only done jobs would
    need is left out of the work: a parent is submitted only if some child needs it.

    Args:
        retry: states that are submitted again: `failed`, `lost`.
    """
    states = {job.identity: known(job) for job in jobs}
    wanted = _wanted(rows, states)
    decisions: list[Decision] = []
    actions: dict[str, Action] = {}
    for job in jobs:
        state = states[job.identity]
        action, reason = _decide(job, state, wanted, actions, retry)
        actions[job.identity] = action
        decisions.append(Decision(job, action, reason, state.log, state.place))
    return Plan(rows, decisions)


def _wanted(rows: list[Row], states: Mapping[str, Known]) -> set[str]:
    wanted: set[str] = set()
    stack = [row.grade for row in rows]
    while stack:
        job = stack.pop()
        if job.identity in wanted:
            continue
        if states[job.identity].state != "done":
            wanted.add(job.identity)
            stack.extend(job.inputs.values())
    return wanted


def _decide(
    job: Job,
    state: Known,
    wanted: set[str],
    actions: Mapping[str, Action],
    retry: frozenset[str],
) -> tuple[Action, str]:
    if state.state == "done":
        return "done", "result is there"
    if job.identity not in wanted:
        return "done", "not needed: what it is for is done"
    if state.state in ("running", "pending"):
        return "wait", state.reason or state.state
    blockers = [
        j for j in job.inputs.values() if actions[j.identity] in ("failed", "lost", "blocked")
    ]
    if blockers:
        return "blocked", f"{blockers[0].kind} {blockers[0].label} {actions[blockers[0].identity]}"
    if state.state in ("failed", "lost"):
        if state.state in retry:
            return "submit", f"again, after: {state.reason}"
        return ("failed" if state.state == "failed" else "lost"), state.reason
    return "submit", state.reason or "no result yet"
