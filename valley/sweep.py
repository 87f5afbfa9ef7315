"""The sweep: a validated grid.yaml, and the cells that it stands for.

A grid is a list of blocks; a block is the product of its lists. The named axes are `student`, `stage`,
`size`, `difficulty`, `correctness` and `seed`; any field of `train`, `data`, `generate` or `grade` may
be an axis too, by its dotted name. `{range: [start, stop, step]}` stands for a list, `stop` excluded.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from valley.cluster.config import ClusterConfig, ResourcesByKind
from valley.data.config import DataConfig
from valley.errors import UserError
from valley.evaluate.config import GradeConfig
from valley.evaluate.profiles import GenerateConfig
from valley.records import canonical_json
from valley.student import StudentConfig
from valley.train.config import TrainConfig
from valley.yaml_faults import LOADER, explain

NAMED_AXES = ("student", "stage", "size", "difficulty", "correctness", "seed")
DIFFICULTIES = ("all", "easy", "medium", "hard")
CORRECTNESSES = ("all", "correct", "incorrect")
RECIPE_SECTIONS = ("data", "train", "generate", "grade")


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ParentCell(_Strict):
    """The cell whose checkpoint a stage starts from."""

    stage: int | None = None
    """Null is the stage before."""
    size: int = Field(ge=1)
    difficulty: Literal["all", "easy", "medium", "hard"] = "all"
    correctness: Literal["all", "correct", "incorrect"] = "all"
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
    generate_tokens_per_s: float = Field(3000.0, gt=0)
    grade_samples_per_s: float = Field(50.0, gt=0)
    startup_s: float = Field(60.0, ge=0)


class Sweep(_Strict):
    """The whole of a grid.yaml."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    students: dict[str, StudentConfig] = Field(min_length=1)
    data: DataConfig
    train: TrainConfig = TrainConfig()
    generate: GenerateConfig = GenerateConfig()
    grade: GradeConfig = GradeConfig()
    stages: dict[int, Stage] = Field(default_factory=lambda: {1: Stage()}, min_length=1)
    grid: list[dict[str, Any]] = Field(min_length=1)
    resources: ResourcesByKind = ResourcesByKind()
    cluster: ClusterConfig = ClusterConfig()
    preview: PreviewConfig = PreviewConfig()


@dataclass(frozen=True)
class Recipe:
    """The settings of a cell, after its axes have been applied."""

    data: DataConfig
    train: TrainConfig
    generate: GenerateConfig
    grade: GradeConfig


@dataclass(frozen=True)
class Cell:
    """One point of the grid. `axes` holds the named axes first, then dotted ones by name."""

    axes: dict[str, Any]
    recipe: Recipe

    @property
    def label(self) -> str:
        """A name that a person can read."""
        axes = self.axes
        parts = [
            str(axes["student"]),
            f"t{axes['stage']}",
            f"n{axes['size']}",
            *(str(axes[name]) for name in ("difficulty", "correctness") if axes[name] != "all"),
            *(f"{name}={axes[name]}" for name in axes if name not in NAMED_AXES),
            f"seed{axes['seed']}",
        ]
        return "-".join(parts)

    @property
    def is_baseline(self) -> bool:
        """Whether the cell is its stage's initial checkpoint, evaluated and never trained."""
        return self.axes["size"] == 0


def find_grid(name: str) -> Path:
    """A grid's path: as it is given, else below `sweeps/`.

    Raises:
        UserError: neither exists; the message lists the grids that do.
    """
    for path in (Path(name), Path("sweeps") / name):
        if path.is_file():
            return path
    there = ", ".join(sorted(p.name for p in Path("sweeps").glob("*.yaml"))) or "none"
    raise UserError(f"{name}: no such grid here or in sweeps/ (grids there: {there})")


def load_sweep(path: Path, settings: list[str] | None = None) -> tuple[Sweep, list[Cell]]:
    """Read and validate a grid file and expand it into distinct cells.

    Args:
        settings: `key=value` pairs that override the file. A key is an axis, which is then set in
            every block, or the dotted path of a setting; a value is YAML.

    Raises:
        UserError: names the file, the line or key, what was found, and what is allowed.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document = yaml.load(text, Loader=LOADER)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not YAML: {error}") from error
    if not isinstance(document, dict):
        raise UserError(f"{path}: found {type(document).__name__}, expected `name:`, `grid:`, …")
    for setting in settings or []:
        _apply_setting(document, setting)
    try:
        sweep = Sweep.model_validate(document)
    except ValidationError as error:
        raise UserError(explain(error, str(path), text)) from error
    _check_stages(sweep, path)
    return sweep, _expand(sweep, path)


def _apply_setting(document: dict[str, Any], setting: str) -> None:
    key, equals, text = setting.partition("=")
    if not equals or not key:
        raise UserError(f"--set {setting}: expected KEY=VALUE, such as --set seed=[0,1,2]")
    try:
        value = yaml.load(text, Loader=LOADER)
    except yaml.YAMLError as error:
        raise UserError(f"--set {setting}: the value is not YAML") from error
    blocks = document.get("grid")
    if key in NAMED_AXES and isinstance(blocks, list):
        for block in blocks:
            if isinstance(block, dict):
                block[key] = value
        return
    *parents, last = key.split(".")
    target: Any = document
    for name in parents:
        target = target.setdefault(name, {}) if isinstance(target, dict) else None
    if not isinstance(target, dict):
        raise UserError(f"--set {setting}: {'.'.join(parents)} is not a section of the grid")
    target[last] = value


def _check_stages(sweep: Sweep, path: Path) -> None:
    for number in sweep.stages:
        seen = [number]
        while (parent := sweep.stages[seen[-1]].parent) is not None:
            following = parent.stage if parent.stage is not None else seen[-1] - 1
            if following not in sweep.stages:
                raise UserError(
                    f"{path}: stages.{seen[-1]}.from.stage: stage {following} is not defined; "
                    f"defined: {', '.join(map(str, sweep.stages))}"
                )
            if following in seen:
                chain = " -> ".join(map(str, [*seen, following]))
                raise UserError(
                    f"{path}: stages: a cycle ({chain}); one stage must start from the student"
                )
            seen.append(following)


def _expand(sweep: Sweep, path: Path) -> list[Cell]:
    recipes: dict[str, Recipe] = {}
    cells: dict[str, Cell] = {}
    for number, block in enumerate(sweep.grid):
        where = f"{path}: grid[{number}]"
        for axes in _block_points(sweep, block, where):
            overrides = {name: axes[name] for name in axes if name not in NAMED_AXES}
            key = canonical_json(overrides)
            if key not in recipes:
                recipes[key] = _recipe(sweep, overrides, where)
            cell = Cell(axes, recipes[key])
            cells.setdefault(canonical_json(axes), cell)
    return list(cells.values())


def _block_points(sweep: Sweep, block: Mapping[str, Any], where: str) -> Iterator[dict[str, Any]]:
    """Yield the axes of every point of a block, each value checked once."""
    defaults: dict[str, Any] = {
        "student": next(iter(sweep.students)),
        "stage": min(sweep.stages),
        "difficulty": "all",
        "correctness": "all",
        "seed": 0,
    }
    if "size" not in block:
        raise UserError(f"{where}: no `size`; expected one number of traces, or a list")
    values = {
        name: _axis_values(sweep, name, value, f"{where}.{name}")
        for name, value in {**defaults, **block}.items()
    }
    names = [*NAMED_AXES, *sorted(set(values) - set(NAMED_AXES))]
    for point in itertools.product(*(values[name] for name in names)):
        axes = dict(zip(names, point, strict=True))
        if axes["size"] == 0:
            # The initial checkpoint is the same whatever would have been trained on.
            kept = {n: v for n, v in axes.items() if not n.startswith("train.")}
            axes = {**kept, "difficulty": "all", "correctness": "all", "seed": 0}
        yield axes


def _axis_values(sweep: Sweep, name: str, value: Any, where: str) -> list[Any]:
    if isinstance(value, dict):
        bounds = value.get("range")
        if (
            set(value) != {"range"}
            or not isinstance(bounds, list)
            or not 2 <= len(bounds) <= 3
            or not all(type(bound) is int for bound in bounds)
            or (len(bounds) == 3 and bounds[2] == 0)
        ):
            raise UserError(f"{where}: found {value!r}; expected {{range: [start, stop, step]}}")
        value = list(range(*bounds))
    listed = value if isinstance(value, list) else [value]
    if not listed:
        raise UserError(f"{where}: an empty axis; expected at least one value")
    for item in listed:
        _check_axis_value(sweep, name, item, where)
    return listed


def _check_axis_value(sweep: Sweep, name: str, item: Any, where: str) -> None:
    allowed: Any
    match name:
        case "student":
            allowed = tuple(sweep.students)
        case "stage":
            allowed = tuple(sweep.stages)
        case "difficulty":
            allowed = DIFFICULTIES
        case "correctness":
            allowed = CORRECTNESSES
        case "size" | "seed":
            if type(item) is not int or item < 0:
                raise UserError(f"{where}: found {item!r}; expected a whole number, 0 or more")
            return
        case _:
            section, _, field = name.partition(".")
            if section not in RECIPE_SECTIONS or not field:
                raise UserError(
                    f"{where}: unknown axis; expected one of {', '.join(NAMED_AXES)}, or a dotted "
                    f"setting of {', '.join(RECIPE_SECTIONS)}, such as train.learning_rate"
                )
            return
    if item not in allowed or type(item) is bool:
        raise UserError(
            f"{where}: found {item!r}; expected one of {', '.join(map(str, allowed))}"
            + ("; define it under `stages`" if name == "stage" else "")
        )


def _recipe(sweep: Sweep, overrides: Mapping[str, Any], where: str) -> Recipe:
    sections: dict[str, Any] = {}
    for section in RECIPE_SECTIONS:
        config = getattr(sweep, section)
        values = config.model_dump()
        for name, value in overrides.items():
            if name.partition(".")[0] != section:
                continue
            target = values
            *parents, last = name.split(".")[1:]
            for parent in parents:
                if not isinstance(target.get(parent), dict):
                    raise UserError(f"{where}.{name}: unknown setting {parent!r}")
                target = target[parent]
            target[last] = value
        try:
            sections[section] = type(config).model_validate(values)
        except ValidationError as error:
            raise UserError(explain(error, f"{where}: {section}")) from error
    return Recipe(**sections)
