"""The sweep: a validated grid.yaml, and the cells that it stands for.

A grid is a list of blocks; a block is the product of its lists, or what `block` says more of it. The
named axes are `student`, `stage`, `size`, `difficulty`, `correctness` and `seed`; any field of `train`,
`data`, `chat`, `generate` or `grade` may be an axis too, by its dotted name. `{range: [start, stop, step]}`
stands for a list, `stop` excluded.

1. `grid_file` reads the YAML and applies what the command line sets.
2. `validation` makes a `Sweep` of it.
3. `cells` expands it: `block` yields every block's points, `recipe` each point's settings.
4. What the sections ask of one another is checked for every distinct recipe.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from valley.axes import MATCHING, RECIPE_SECTIONS, STEPS
from valley.axes import NAMED_AXES as NAMED_AXES
from valley.cells import Cell as Cell
from valley.cells import expand
from valley.cells import with_starts as with_starts
from valley.cluster.config import ClusterConfig, ResourcesByKind
from valley.conditional import When
from valley.data.chat import ChatConfig
from valley.data.config import DataConfig
from valley.errors import UserError
from valley.evaluate.config import GradeConfig
from valley.evaluate.profiles import GenerateConfig
from valley.grid_file import GridFile
from valley.recipe import Recipe as Recipe
from valley.recipe import check_training
from valley.student_config import StudentConfig
from valley.train.config import TrainConfig
from valley.validation import Location, validate

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
SHIPPED = Path(__file__).parents[1] / "sweeps"
"""The repository's folder of grids, whatever folder a command is given in."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ParentCell(_Strict):
    """The cell whose checkpoint a stage starts from."""

    stage: int | None = None
    """Null is the stage before."""
    size: int = Field(ge=1)
    difficulty: Literal["all", "easy", "medium", "hard"] = "all"
    correctness: Literal["all", "correct", "incorrect", "unknown"] = "all"
    seed: int = Field(0, ge=0)


class Stage(_Strict):
    """Where distillation starts from: the student itself, or a cell of another stage."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    parent: ParentCell | None = Field(None, alias="from")


class PreviewConfig(_Strict):
    """Assumptions that costs are estimated from before anything has been measured."""

    tokens_per_trace: float = Field(8000, gt=0)
    tokens_per_lesson: float = Field(50, gt=0)
    tokens_per_answer: float = Field(8000, gt=0)
    train_tflops: float = Field(400.0, gt=0)
    """Floating-point operations per second of one rank, in 1e12; H100 at 40 % in bf16."""
    mfu: float | None = Field(None, gt=0, le=1)
    """The share of `peak_tflops` that a rank trains at; where set, it decides instead of `train_tflops`."""
    peak_tflops: float | None = Field(None, gt=0)
    """The peak of a rank's device in the training's precision, such as 989 of an H100 in bf16; where
    set, measured speeds are told as a share of it too."""
    generate_tokens_per_s: float = Field(3000.0, gt=0)
    grade_samples_per_s: float = Field(50.0, gt=0)
    startup_s: float = Field(60.0, ge=0)
    """Of a process; and of a preparation as a whole."""
    seed_sd: float = Field(0.01, ge=0, lt=1)
    """How far a cell's pass@1 scatters between training seeds, as a standard deviation. Measure it: the
    plots of a sweep with several seeds tell it."""

    @model_validator(mode="after")
    def _mfu_has_a_peak(self) -> PreviewConfig:
        if self.mfu is not None and self.peak_tflops is None:
            raise ValueError(
                f"mfu is {self.mfu:g} of nothing; set peak_tflops, such as 989 for an H100 in bf16"
            )
        return self


class AnalysisConfig(_Strict):
    """What the results will be held to, fixed before there are any."""

    equivalence_delta: float | None = Field(None, gt=0, lt=1)
    """The largest difference of two arms' pass@1 that counts as none, such as 0.02; where it is not set, a
    quarter of the arms' mean gain over their baseline."""


class Sweep(_Strict):
    """The whole of a grid.yaml."""

    name: str = Field(json_schema_extra={"pattern": f"^{NAME.pattern}$"})
    """A folder's name, and a part of what Slurm shows: see `_name_is_a_folder`."""
    students: dict[str, StudentConfig] = Field(min_length=1)
    data: DataConfig
    chat: ChatConfig = ChatConfig()
    train: TrainConfig = TrainConfig()
    generate: GenerateConfig = GenerateConfig()
    grade: GradeConfig = GradeConfig()
    stages: dict[int, Stage] = Field(default_factory=lambda: {1: Stage()}, min_length=1)
    grid: list[dict[str, Any]] = Field(min_length=1)
    when: list[When] = []
    resources: ResourcesByKind = ResourcesByKind()
    cluster: ClusterConfig = ClusterConfig()
    preview: PreviewConfig = PreviewConfig()
    analysis: AnalysisConfig = AnalysisConfig()

    @field_validator("name")
    @classmethod
    def _name_is_a_folder(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError(
                f"found {name!r}; a sweep's name is a folder's: letters of a to z, digits, and inside "
                "it also . _ and -, such as valley-7b.2"
            )
        return name


@dataclass(frozen=True)
class Grid:
    """A grid file, read: its sweep, the cells, and what a person should know of how they came about."""

    sweep: Sweep
    cells: list[Cell]
    left_out: list[str]
    """What `exclude` left out and why, one sentence each."""
    warnings: list[str]
    """What is probably a slip in the grid, one sentence each."""


def find_grid(name: str) -> Path:
    """A grid's path: as it is given, else below the repository's `sweeps/`.

    Raises:
        UserError: neither exists; the message lists the grids that do.
    """
    for path in (Path(name), SHIPPED / name):
        if path.is_file():
            return path
        if path.is_dir():
            inside = ", ".join(sorted(p.name for p in path.glob("*.y*ml"))) or "none"
            raise UserError(f"{name}: a folder; give a grid file (in it: {inside})")
    there = ", ".join(sorted(p.name for p in SHIPPED.glob("*.yaml"))) or "none"
    raise UserError(f"{name}: no such grid here or in sweeps/ (grids there: {there})")


def load_sweep(path: Path, settings: list[str] | None = None) -> tuple[Sweep, list[Cell]]:
    """The sweep and the cells of `read_grid`."""
    grid = read_grid(path, settings)
    return grid.sweep, grid.cells


def read_grid(
    path: Path,
    settings: list[str] | None = None,
    dry_run: bool = False,
    site: Path | None = None,
    *,
    called: str = "",
    site_first: bool = False,
) -> Grid:
    """Read and validate a grid file and expand it into distinct cells.

    Nothing that the grid points to is read: whether a student and its data are there, their
    `semantic()` says.

    Args:
        settings: `key=value` pairs that override the file. A key is an axis, which is then set in
            every block, or the dotted path of a setting; a value is YAML.
        dry_run: plan also with students and data that are not there, which have made-up identities.
        site: a file with a site's `cluster` and `resources`, for what the grid leaves open.
        called, site_first: as `GridFile` takes them.

    Raises:
        UserError: names the file and line or the setting, the key, what was found, and what is
            allowed.
    """
    file = GridFile(path, settings or [], site, called=called, site_first=site_first)
    sweep = validate(Sweep, file.value, file.at, _hint)
    _check_stages(sweep, file)
    base = Recipe(sweep.data, sweep.chat, sweep.train, sweep.generate, sweep.grade)
    if dry_run:
        base = replace(base, data=base.data.for_a_dry_run())
        students = {name: student.for_a_dry_run() for name, student in sweep.students.items()}
        sweep = sweep.model_copy(update={"students": students})
    expansion = expand(sweep, base, file)
    if not expansion.cells:
        raise UserError(f"{file.at(('grid',))}: no cell is left: `exclude` leaves out all of them")
    _check_students(sweep, expansion.cells, file)
    _check_engines(sweep, expansion.cells, file)
    return Grid(sweep, expansion.cells, expansion.left_out, expansion.warnings)


def _hint(location: Location, found: Any) -> str:
    """Where several values of a setting belong, and those that are derived."""
    if location[0] not in RECIPE_SECTIONS or len(location) < 2:
        return ""
    name = ".".join(map(str, location))
    if isinstance(found, list):
        return f"; several values must stand in a block of `grid`, as `{name}: [first, second]`"
    if name == STEPS and isinstance(found, dict):
        return (
            f"; {{{MATCHING}: SIZE}} can stand in a block of `grid` or in `when` only, as `{name}`"
        )
    return ""


def _check_stages(sweep: Sweep, file: GridFile) -> None:
    for number in sweep.stages:
        seen = [number]
        while (parent := sweep.stages[seen[-1]].parent) is not None:
            following = parent.stage if parent.stage is not None else seen[-1] - 1
            if following not in sweep.stages:
                place = file.at(("stages", seen[-1], "from", "stage"))
                raise UserError(
                    f"{place}: stage {following} is not defined; "
                    f"defined: {', '.join(map(str, sweep.stages))}"
                )
            if following in seen:
                chain = " -> ".join(map(str, [*seen, following]))
                raise UserError(
                    f"{file.at(('stages',))}: a cycle ({chain}); one stage must start from the student"
                )
            seen.append(following)


def _check_students(sweep: Sweep, cells: list[Cell], file: GridFile) -> None:
    """Refuse what a tiny student cannot be told, and first lessons that the data of a cell does not have
    or that cannot feed the ranks.
    """
    told = {(c.axes["student"], id(c.recipe.chat), id(c.recipe.generate)): c for c in cells}
    for (name, *_), cell in told.items():
        if sweep.students[name].source == "tiny" and cell.recipe.chat.semantic():
            raise UserError(
                f"{file.at(('chat',))}: the student {name!r} of cell {cell.label} knows the words of its "
                "world only; leave `chat` out for a tiny student"
            )
        prompts = {n: p.prompt for n, p in cell.recipe.generate.profiles.items() if p.prompt}
        if sweep.students[name].source == "tiny" and prompts:
            profile, prompt = next(iter(prompts.items()))
            raise UserError(
                f"{file.at(('generate', 'profiles', profile))}: prompt {prompt!r}, and the student {name!r} "
                "knows the words of its world only; leave it out for a tiny student"
            )
    pairs = {(c.axes["student"], c.recipe.data.lessons): c for c in with_starts(cells)}
    for (name, answers), cell in pairs.items():
        student = sweep.students[name]
        if student.source != "tiny" or student.first_lessons is None:
            continue
        at = partial(file.at, ("students", name, "first_lessons"))
        if not answers:
            raise UserError(
                f"{at()}: the data of cell {cell.label} has no direct answers to learn from; raise "
                "data.direct_answers (`source: tiny` alone has them) or leave first_lessons out"
            )

        def whose(key: str, name: str = name) -> str:
            return file.at(("students", name, "first_lessons", key))

        check_training(student.first_lessons, sweep.resources.train.ranks, whose)


def _check_engines(sweep: Sweep, cells: list[Cell], file: GridFile) -> None:
    """Refuse several vLLM engines in one process on a GPU: only the process's end frees its memory."""
    asked = sweep.resources.generate
    backends = {c.recipe.generate.backend for c in cells}
    if asked.gpus_per_node and asked.pack > 1 and "vllm" in backends:
        raise UserError(
            f"{file.at(('resources', 'generate', 'pack'))}: {asked.pack}, and an engine of "
            "generate.backend vllm has its GPU until its process ends; set generate.pack (and those of "
            "prepare and train) to 1"
        )
