"""Preparations: what no cell changes, its data, its student and that student's first lessons. Pure.

The evaluation problems and the pool of traces are jobs apart: what changes one of them alone makes
nothing anew that does not rest on it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from valley.data.chat import ChatConfig
from valley.data.config import DataConfig
from valley.evaluate.config import GradeConfig
from valley.job import Job
from valley.job_table import JobTable, Settings, roles_text
from valley.recipe import Recipe
from valley.sweep import Sweep
from valley.train.config import TrainConfig

UNSAFE = re.compile(r"[^\w.=-]")
TRACE_GRADING = GradeConfig().model_dump(
    mode="json", include={"wall_limit_factor", "output_limit_kib"}
)


@dataclass(frozen=True, slots=True)
class PreparedData:
    """The jobs that prepare a recipe's data."""

    evaluation: Job
    pool: Job
    disjoint: Job
    evaluation_size: int
    """Problems."""


class Preparations:
    """Makes the preparations of a sweep, each once."""

    def __init__(self, sweep: Sweep, table: JobTable) -> None:
        self.sweep = sweep
        self.table = table
        self.pools: dict[str, DataConfig] = {}
        """The settings of the pools made so far, by their jobs' identities."""

    def data(self, recipe: Recipe) -> PreparedData:
        """The jobs that prepare a recipe's data."""
        key = ("data", id(recipe.data), recipe.grade.sandbox)
        return self.table.once(key, lambda: self._data(recipe))

    def _data(self, recipe: Recipe) -> PreparedData:
        data, label, prepare = recipe.data, safe(recipe.data.label), self.table.prepare
        evaluation = prepare(
            "evaluation",
            f"{label}-evaluation",
            {"evaluation": data.evaluation_semantic()},
            execution=data.execution(),
        )
        # How the students' answers are graded is no part of the pool: traces are graded by the
        # grader's defaults, so that a change of `grade` trains nothing anew.
        cleaned = {"clean": data.clean.semantic()} if data.clean.semantic() else {}
        pool = prepare(
            "pool",
            f"{label}-pool",
            {"pool": data.pool_semantic() | cleaned, "grading": TRACE_GRADING},
            {"evaluation": evaluation} if data.clean.decontaminate is not None else {},
            execution={**data.execution(), "sandbox": recipe.grade.sandbox},
        )
        self.pools.setdefault(pool.identity, data)
        # Before any training and no one's input: another evaluation set trains nothing anew.
        disjoint = prepare(
            "disjoint",
            f"{label}-disjoint",
            {"check": "disjoint"},
            {"evaluation": evaluation, "pool": pool},
        )
        return PreparedData(evaluation, pool, disjoint, data.evaluation_size)

    def held_out(self, recipe: Recipe) -> Job | None:
        """The traces that no training set may hold, where the recipe asks for their likelihood."""
        if recipe.generate.held_out is None:
            return None
        pool, label = self.data(recipe).pool, safe(recipe.data.label)
        config = {
            "traces": recipe.generate.held_out.traces,
            "unit": recipe.data.select.unit,
            "data_seed": recipe.data.data_seed,
            "prompt": recipe.chat.prompt,
        }
        return self.table.prepare(
            "held-out", f"{label}-held-out", {"held_out": config}, {"pool": pool}
        )

    def student(self, name: str, recipe: Recipe) -> Job:
        """The student itself, after its first lessons where it has any."""
        key = ("student", name, id(recipe.data), id(recipe.chat), recipe.grade.sandbox)
        return self.table.once(key, lambda: self._student(name, recipe))

    def _student(self, name: str, recipe: Recipe) -> Job:
        student, data = self.sweep.students[name], self.data(recipe)
        # A tiny student's vocabulary comes from the pool, which is so one of its inputs.
        inputs = {"pool": data.pool} if student.source == "tiny" else {}
        initial = self.table.prepare(
            "student", safe(name), {"student": student.semantic()}, inputs, student.execution()
        )
        if student.source != "tiny" or student.first_lessons is None:
            return initial
        lessons, examples = student.first_lessons, recipe.data.lessons
        settings = Settings(
            {
                "train": lessons.semantic(),
                "select": "lessons",
                "seed": student.seed,
                "data_seed": recipe.data.data_seed,
                **chat_of(recipe.chat),
            }
        )
        inputs = {"init": initial, "pool": data.pool}
        return self.table.job(
            "train",
            f"{safe(name)}-first-lessons",
            settings,
            inputs,
            roles_text(inputs),
            "0.lessons",
            execution_of(lessons),
            (data.disjoint,),
            slot="lessons",
            steps=lessons.total_steps(examples),
            examples=examples,
            parameters=student.parameters,
        )


def safe(label: str) -> str:
    """A part of a folder's name: what a student or a profile is called may be no part of a path."""
    return UNSAFE.sub("_", label)


def chat_of(config: ChatConfig) -> dict[str, Any]:
    """What a job's settings say of the chat: nothing, where it is the default."""
    said = config.semantic()
    return {"chat": said} if said else {}


def execution_of(train: TrainConfig) -> dict[str, Any]:
    """How a training is run, which no result depends on."""
    return {name: getattr(train, name) for name in sorted(train.EXECUTION_FIELDS)}
