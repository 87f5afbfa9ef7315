"""The trail: what a sweep's cells are made by. Pure.

A job's identity is the hash of its kind, its settings that matter to the result and its inputs'
identities, so cells that share a prefix share its jobs, also across sweeps. The evaluation problems
and the pool of traces are jobs apart, and so are generation and grading: what changes one of them
alone makes nothing anew that does not rest on it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from valley.data.chat import ChatConfig
from valley.data.config import DataConfig
from valley.data.selection_config import SelectConfig
from valley.evaluate.config import GradeConfig
from valley.evaluate.profiles import GenerateConfig
from valley.job import Job, Row, Trail
from valley.records import canonical_json
from valley.short_name import LETTERS, cell_name
from valley.store import KINDS, identity_of_text
from valley.sweep import Cell, Recipe, Sweep
from valley.train.config import TrainConfig

T = TypeVar("T")
MAX_LABEL = 120
CHARACTERS_PER_TOKEN = 3.5
"""About, of English and Python; for costs alone."""
UNSAFE = re.compile(r"[^\w.=-]")
TRACE_GRADING = GradeConfig().model_dump(
    mode="json", include={"wall_limit_factor", "output_limit_kib"}
)


class _Builder:
    """Makes each job of a sweep once, and what cells share only once."""

    def __init__(self, sweep: Sweep) -> None:
        self.sweep = sweep
        self.jobs: dict[str, Job] = {}
        self.pools: dict[str, DataConfig] = {}
        self._made: dict[tuple, Any] = {}

    def once(self, key: tuple, make: Callable[[], T]) -> T:
        """What `make` returns, made at the first call with this key.

        Keys hold the `id` of a section of a recipe: recipes that agree in a section share its object,
        and the cells keep it alive.
        """
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def job(
        self,
        kind: str,
        label: str,
        config: _Config,
        inputs: dict[str, Job],
        name: str = "",
        **rest: Any,
    ) -> Job:
        """A job; `label` may hold no character that a folder's name may not.

        Args:
            name: what its cell is called in short; what belongs to no cell goes by its slot.
        """
        roles = ",".join([f'"{role}":"{inputs[role].identity}"' for role in sorted(inputs)])
        identity = identity_of_text(kind, config.text, roles)
        job = self.jobs.get(identity)
        if job is None:
            short = LETTERS[kind] + (name or f".{rest.get('slot', '')}")
            job = Job(kind, identity, label[:MAX_LABEL], config.value, inputs, short=short, **rest)
            self.jobs[identity] = job
        return job

    def shared(self, recipe: Recipe) -> _Shared:
        """What the cells of a recipe have in common."""
        return self.once(("shared", id(recipe)), lambda: self._shared(recipe))

    def _shared(self, recipe: Recipe) -> _Shared:
        train, chat = recipe.train, _chat(recipe.chat)
        return _Shared(
            data=self.data(recipe),
            chat=chat,
            chat_text=f"{canonical_json(chat)[1:-1]}," if chat else "",
            training=train.semantic(),
            training_text=canonical_json(train.semantic()),
            execution=_execution(train),
            profiles=_profiles(recipe.generate, chat),
            grading=_Config(recipe.grade.model_dump(mode="json")),
            select=recipe.data.select if recipe.data.select.semantic() else None,
        )

    def data(self, recipe: Recipe) -> _Data:
        """The jobs that prepare a recipe's data, which no cell changes."""
        key = ("data", id(recipe.data), recipe.grade.sandbox)
        return self.once(key, lambda: self._data(recipe))

    def _data(self, recipe: Recipe) -> _Data:
        data, label = recipe.data, _safe(recipe.data.label)
        evaluation = self.job(
            "prepare",
            f"{label}-evaluation",
            _Config({"evaluation": data.evaluation_semantic()}),
            {},
            execution=data.execution(),
            slot="evaluation",
        )
        # How the students' answers are graded is no part of the pool: traces are graded by the
        # grader's defaults, so that a change of `grade` trains nothing anew.
        cleaned = {"clean": data.clean.semantic()} if data.clean.semantic() else {}
        pool = self.job(
            "prepare",
            f"{label}-pool",
            _Config({"pool": data.pool_semantic() | cleaned, "grading": TRACE_GRADING}),
            {"evaluation": evaluation} if data.clean.decontaminate is not None else {},
            execution={**data.execution(), "sandbox": recipe.grade.sandbox},
            slot="pool",
        )
        self.pools.setdefault(pool.identity, data)
        # Before any training and no one's input: another evaluation set trains nothing anew.
        disjoint = self.job(
            "prepare",
            f"{label}-disjoint",
            _Config({"check": "disjoint"}),
            {"evaluation": evaluation, "pool": pool},
            slot="disjoint",
        )
        return _Data(evaluation, pool, disjoint, data.evaluation_size)

    def first_checkpoint(self, name: str, recipe: Recipe) -> Job:
        """The student itself, after its first lessons where it has any."""
        student, data = self.sweep.students[name], self.data(recipe)
        # A tiny student's vocabulary comes from the pool, which is so one of its inputs.
        inputs = {"pool": data.pool} if student.source == "tiny" else {}
        initial = self.job(
            "prepare",
            _safe(name),
            _Config({"student": student.semantic()}),
            inputs,
            execution=student.execution(),
            slot="student",
        )
        if student.source != "tiny" or student.first_lessons is None:
            return initial
        lessons, examples = student.first_lessons, recipe.data.lessons
        config = {
            "train": lessons.semantic(),
            "select": "lessons",
            "seed": student.seed,
            "data_seed": recipe.data.data_seed,
            **_chat(recipe.chat),
        }
        return self.job(
            "train",
            f"{_safe(name)}-first-lessons",
            _Config(config),
            {"init": initial, "pool": data.pool},
            name="0.lessons",
            execution=_execution(lessons),
            after=(data.disjoint,),
            slot="lessons",
            steps=lessons.total_steps(examples),
            examples=examples,
            parameters=student.parameters,
        )

    def start(self, cell: Cell) -> Job:
        """The checkpoint that a cell's stage starts from."""
        parent, name, recipe = cell.start, cell.axes["student"], cell.recipe
        if parent is not None:
            return self.once(
                ("start", id(parent)), lambda: self.checkpoint(parent, _safe(parent.label))
            )
        key = ("student", name, id(recipe.data), recipe.grade.sandbox)
        return self.once(key, lambda: self.first_checkpoint(name, recipe))

    def checkpoint(self, cell: Cell, label: str) -> Job:
        """The checkpoint that a cell is evaluated with."""
        axes, recipe = cell.axes, cell.recipe
        start = self.start(cell)
        if cell.is_baseline:
            return start
        shared = self.shared(recipe)
        size, seed, data_seed = axes["size"], axes["seed"], recipe.data.data_seed
        difficulty, correctness = axes["difficulty"], axes["correctness"]
        select = {"size": size, "difficulty": difficulty, "correctness": correctness}
        drawn = ""
        if shared.select is not None and (chosen := shared.select.of_arm(difficulty, correctness)):
            select["controls"] = chosen
            drawn = f'"controls":{canonical_json(chosen)},'
        examples = _examples(size, recipe.data.select, self.sweep.preview.tokens_per_trace)
        value = {
            "train": shared.training,
            "select": select,
            "seed": seed,
            "data_seed": data_seed,
            **shared.chat,
        }
        # The canonical JSON of `value`, put together from parts: see `test_identities_are_exact`.
        text = (
            f'{{{shared.chat_text}"data_seed":{data_seed},"seed":{seed},'
            f'"select":{{{drawn}"correctness":"{correctness}","difficulty":"{difficulty}","size":{size}}},'
            f'"train":{shared.training_text}}}'
        )
        return self.job(
            "train",
            label,
            _Config(value, text),
            {"init": start, "pool": shared.data.pool},
            name=cell_name(axes),
            execution=shared.execution,
            after=(shared.data.disjoint,),
            steps=recipe.train.total_steps(examples),
            examples=examples,
            parameters=self.sweep.students[axes["student"]].parameters,
        )

    def rows(self, cell: Cell) -> list[Row]:
        """The trail of a cell, one row per decoding profile."""
        label, shared = _safe(cell.label), self.shared(cell.recipe)
        data, short = shared.data, cell_name(cell.axes)
        model = self.checkpoint(cell, label)
        # A student that was taught here before, on another sweep's evaluation set, is checked too.
        after = (data.disjoint,) if model.kind == "train" else ()
        rows = []
        for name, slot, samples, config in shared.profiles:
            examples, asked = data.evaluation_size * samples, f"{label}-{slot}"
            generate = self.job(
                "generate",
                asked,
                config,
                {"model": model, "evaluation": data.evaluation},
                name=short,
                after=after,
                slot=name,
                examples=examples,
                parameters=model.parameters,
            )
            grade = self.job(
                "grade",
                asked,
                shared.grading,
                {"samples": generate, "evaluation": data.evaluation},
                name=short,
                slot=name,
                examples=examples,
                parameters=model.parameters,
            )
            train = model if not cell.is_baseline else None
            rows.append(Row(cell, name, train, generate, grade))
        return rows


class _Config:
    """A job's settings, and their canonical JSON, which is made once for all jobs that share it."""

    __slots__ = ("text", "value")

    def __init__(self, value: dict[str, Any], text: str | None = None) -> None:
        self.value = value
        self.text = canonical_json(value) if text is None else text


@dataclass(frozen=True, slots=True)
class _Data:
    evaluation: Job
    pool: Job
    disjoint: Job
    evaluation_size: int


@dataclass(frozen=True, slots=True)
class _Shared:
    """What the cells of one recipe have in common."""

    data: _Data
    chat: dict[str, Any]
    chat_text: str
    """The same as JSON, as it stands in front of other settings."""
    training: dict[str, Any]
    training_text: str
    execution: dict[str, Any]
    profiles: list[tuple[str, str, int, _Config]]
    grading: _Config
    select: SelectConfig | None
    """None where all of it is left at its defaults."""


def _chat(config: ChatConfig) -> dict[str, Any]:
    """What a job's settings say of the chat: nothing, where it is the default."""
    said = config.semantic()
    return {"chat": said} if said else {}


def _profiles(config: GenerateConfig, chat: dict[str, Any]) -> list[tuple[str, str, int, _Config]]:
    """Name, name for a folder, samples per problem and a generate job's settings, of each profile."""
    common = {"batch_size": config.batch_size, "precision": config.precision, **chat}
    return [
        (
            name,
            _safe(name),
            profile.samples,
            _Config({"profile": profile.model_dump(mode="json"), **common}),
        )
        for name, profile in config.profiles.items()
    ]


def _examples(size: int, select: SelectConfig, tokens_per_trace: float) -> int:
    """The traces of a set, or about that many where `size` counts something else."""
    match select.size_in:
        case "problems":
            return size * (select.traces_per_problem or 1)
        case "tokens":
            return max(1, round(size / tokens_per_trace))
        case "characters":
            return max(1, round(size / tokens_per_trace / CHARACTERS_PER_TOKEN))
    return size


def _safe(label: str) -> str:
    """A part of a folder's name: what a student or a profile is called may be no part of a path."""
    return UNSAFE.sub("_", label)


def _execution(train: TrainConfig) -> dict[str, Any]:
    return {name: getattr(train, name) for name in sorted(train.EXECUTION_FIELDS)}


def trail(sweep: Sweep, cells: list[Cell]) -> Trail:
    """What every cell is made by."""
    builder = _Builder(sweep)
    rows = [row for cell in cells for row in builder.rows(cell)]
    # Parents before children, since a job is built after its inputs. Putting half a million in piles
    # takes a third of the time that sorting them does.
    piles: dict[tuple[int, str], list[Job]] = {}
    for job in builder.jobs.values():
        piles.setdefault((job.depth, job.kind), []).append(job)
    order = sorted(piles, key=lambda pile: (pile[0], KINDS.index(pile[1])))
    return Trail(rows, [job for pile in order for job in piles[pile]], builder.pools)


def part(whole: Trail, rows: list[Row]) -> Trail:
    """Some rows of a trail, with the jobs that they need."""
    needed: set[str] = set()
    stack = [row.grade for row in rows]
    while stack:
        job = stack.pop()
        if job.identity not in needed:
            needed.add(job.identity)
            stack.extend(job.parents)
    jobs = [job for job in whole.jobs if job.identity in needed]
    pools = {identity: pool for identity, pool in whole.pools.items() if identity in needed}
    return Trail(rows, jobs, pools)
