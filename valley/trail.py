"""The trail: what a sweep's cells are made by. Pure.

A job's identity is the hash of its kind, its settings that matter to the result and its inputs'
identities, so cells that share a prefix share its jobs, also across sweeps. Generation and grading are
jobs apart: what changes one of them alone makes nothing anew that does not rest on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from valley.data.selection_config import SelectConfig
from valley.job import Job, Row, Trail
from valley.job_file import KINDS
from valley.job_table import JobTable, Settings, roles_text
from valley.planned_rounds import PlannedRound, planned_rounds
from valley.preparations import Preparations, PreparedData, chat_of, execution_of, safe
from valley.records import canonical_json
from valley.short_name import cell_name
from valley.sweep import Cell, Recipe, Sweep

CHARACTERS_PER_TOKEN = 3.5
"""About, of English and Python; for costs alone."""


@dataclass(frozen=True, slots=True)
class _Shared:
    """What the cells of one recipe have in common."""

    data: PreparedData
    chat: dict[str, Any]
    chat_text: str
    """The same as JSON, as it stands in front of other settings."""
    training: dict[str, Any]
    training_text: str
    execution: dict[str, Any]
    rounds: list[PlannedRound]
    """Of all profiles, each one's in their order."""
    grading: Settings
    after: tuple[Job, ...]
    """What precedes trainings, and what they made."""
    select: SelectConfig | None
    """None where all of it is left at its defaults."""
    held_out: Job | None
    """The traces whose likelihood the first profile's generation measures."""


@dataclass(frozen=True, slots=True)
class _Line:
    """What the cells of one recipe have in common that start from one checkpoint."""

    shared: _Shared
    start: Job
    inputs: dict[str, Job]
    """Of a training."""
    roles: str
    parameters: float | None


class _Builder:
    """Makes each job of a sweep once, and what cells share only once."""

    def __init__(self, sweep: Sweep, drawn: Mapping[str, int]) -> None:
        self.sweep = sweep
        self.drawn = drawn
        self.table = JobTable()
        self.preparations = Preparations(sweep, self.table)
        self._lines: dict[tuple[int, int, str], _Line] = {}

    def line(self, cell: Cell) -> _Line:
        """What a cell has in common with others."""
        key = (id(cell.recipe), id(cell.start), cell.axes["student"])
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = self._line(cell)
        return line

    def _line(self, cell: Cell) -> _Line:
        recipe, name = cell.recipe, cell.axes["student"]
        shared = self.table.once(("shared", id(recipe)), lambda: self._shared(recipe))
        start = self.start(cell)
        inputs = {"init": start, "pool": shared.data.pool}
        parameters = self.sweep.students[name].parameters
        return _Line(shared, start, inputs, roles_text(inputs), parameters)

    def _shared(self, recipe: Recipe) -> _Shared:
        train, data, chat = recipe.train, self.preparations.data(recipe), chat_of(recipe.chat)
        return _Shared(
            data=data,
            chat=chat,
            chat_text=f"{canonical_json(chat)[1:-1]}," if chat else "",
            training=train.semantic(),
            training_text=canonical_json(train.semantic()),
            execution=execution_of(train),
            rounds=planned_rounds(
                recipe.generate, chat, self.sweep.resources.generate.shards, self.drawn
            ),
            grading=Settings(recipe.grade.model_dump(mode="json")),
            after=(data.disjoint,),
            select=recipe.data.select if recipe.data.select.semantic() else None,
            held_out=self.preparations.held_out(recipe),
        )

    def start(self, cell: Cell) -> Job:
        """The checkpoint that a cell's stage starts from."""
        parent = cell.start
        if parent is None:
            return self.preparations.student(cell.axes["student"], cell.recipe)
        return self.table.once(
            ("start", id(parent)),
            lambda: self.checkpoint(
                parent, self.line(parent), safe(parent.label), cell_name(parent.axes)
            ),
        )

    def checkpoint(self, cell: Cell, line: _Line, label: str, name: str) -> Job:
        """The checkpoint that a cell is evaluated with."""
        axes, shared = cell.axes, line.shared
        size: int = axes["size"]
        if size == 0:
            return line.start
        seed, data_seed = axes["seed"], cell.recipe.data.data_seed
        difficulty, correctness = axes["difficulty"], axes["correctness"]
        select = {"size": size, "difficulty": difficulty, "correctness": correctness}
        drawn = ""
        if shared.select is not None and (chosen := shared.select.of_arm(difficulty, correctness)):
            select["controls"] = chosen
            drawn = f'"controls":{canonical_json(chosen)},'
        examples = _examples(size, cell.recipe.data.select, self.sweep.preview.tokens_per_trace)
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
        return self.table.job(
            "train",
            label,
            Settings(value, text),
            line.inputs,
            line.roles,
            name,
            shared.execution,
            shared.after,
            "",
            cell.recipe.train.total_steps(examples),
            examples,
            line.parameters,
        )

    def rows(self, cell: Cell) -> list[Row]:
        """The trail of a cell, one row per decoding profile."""
        line, label, name = self.line(cell), safe(cell.label), cell_name(cell.axes)
        shared, job = line.shared, self.table.job
        model = self.checkpoint(cell, line, label, name)
        train = model if cell.axes["size"] else None
        # A student that was taught here before, on another sweep's evaluation set, is checked too.
        after = shared.after if model.kind == "train" else ()
        evaluation, parameters = shared.data.evaluation, model.parameters
        roles = f'"evaluation":"{evaluation.identity}",'
        asked_first = f'{roles}"model":"{model.identity}"'
        rows = []
        earlier: tuple[Job, Job] | None = None
        for place, profile in enumerate(shared.rounds):
            examples = shared.data.evaluation_size * profile.samples
            whose, slot = f"{label}-{profile.slot}", profile.name
            inputs = {"model": model, "evaluation": evaluation}
            graded = {"evaluation": evaluation}
            asked, of_grade = asked_first, roles
            if earlier is not None:
                inputs["earlier"], graded["earlier"] = earlier
                asked = f'"earlier":"{earlier[0].identity}",{asked}'
                of_grade = f'"earlier":"{earlier[1].identity}",{roles}'
            mine, mine_asked = inputs, asked
            # A later round takes over what the first has measured.
            if place == 0 and shared.held_out is not None:
                mine = {**inputs, "held_out": shared.held_out}
                mine_asked = roles_text(mine)
            number = len(profile.shards)
            shards = tuple(
                job(
                    "generate",
                    f"{whose}-{i}of{number}",
                    settings,
                    mine if i == 1 else inputs,
                    mine_asked if i == 1 else asked,
                    name,
                    None,
                    after,
                    f"{slot}-{i}of{number}",
                    0,
                    -(-examples // number),
                    parameters,
                )
                for i, settings in enumerate(profile.shards, start=1)
            )
            generate = job(
                "generate",
                whose,
                profile.settings,
                mine,
                mine_asked,
                name,
                {"shards": [shard.identity for shard in shards]} if shards else None,
                shards or after,
                slot,
                0,
                0 if shards else examples,
                parameters,
            )
            grade = job(
                "grade",
                whose,
                shared.grading,
                {"samples": generate, **graded},
                f'{of_grade}"samples":"{generate.identity}"',
                name,
                None,
                (),
                slot,
                0,
                examples,
                parameters,
            )
            earlier = generate, grade
            if profile.is_last:
                rows.append(Row(cell, profile.profile, train, generate, grade))
                earlier = None
        return rows


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


def trail(sweep: Sweep, cells: list[Cell], drawn: Mapping[str, int] | None = None) -> Trail:
    """What every cell is made by.

    Args:
        drawn: how many rounds are planned of each profile that has several; 1 where it is not named.
    """
    builder = _Builder(sweep, drawn or {})
    rows = [row for cell in cells for row in builder.rows(cell)]
    # Parents before children, since a job is built after its inputs. Putting half a million in piles
    # takes a third of the time that sorting them does.
    piles: dict[tuple[int, str], list[Job]] = {}
    for job in builder.table.jobs.values():
        piles.setdefault((job.depth, job.kind), []).append(job)
    order = sorted(piles, key=lambda pile: (pile[0], KINDS.index(pile[1])))
    return Trail(rows, [job for pile in order for job in piles[pile]], builder.preparations.pools)


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
