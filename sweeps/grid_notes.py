"""What is said of grids themselves: which ship, what was left out of one, and what it lacks yet."""

from __future__ import annotations

from pathlib import Path

from valley.cluster import slurm
from valley.cluster.machine import check_room
from valley.errors import UserError
from valley.plan import Plan
from valley.root_lock import unusable
from valley.sweep import Grid, with_starts


def grids_that_ship() -> str:
    """The grids beside this script, a line each: the first line of a file's own comment."""
    lines = []
    for path in sorted(Path(__file__).parent.glob("*.yaml")):
        comments = [line for line in path.read_text("utf-8").splitlines() if line.startswith("# ")]
        about = next((line for line in comments if "yaml-language-server" not in line), "")
        lines.append(f"  {path.name:14} {about.removeprefix('# ')}")
    return "\n".join(lines)


def kinds_to_run(plan: Plan) -> set[str]:
    """The kinds of jobs that a plan would run."""
    return {decision.job.kind for decision in plan.to_run}


def _unused(grid: Grid) -> list[str]:
    """What is said of students and stages that no cell has, nor starts from: often a slip."""
    cells = with_starts(grid.cells)
    return [
        f"unused: {axis}s.{name}: no cell has this {axis}"
        for axis, names in (("student", grid.sweep.students), ("stage", grid.sweep.stages))
        for name in names
        if all(cell.axes[axis] != name for cell in cells)
    ]


def _alike(grid: Grid) -> list[str]:
    """What is said of profiles whose samples are one answer again and again."""
    settings = {id(cell.recipe.generate): cell.recipe.generate for cell in grid.cells}
    profiles = [item for setting in settings.values() for item in setting.profiles.items()]
    return [
        f"generate.profiles.{name}: {profile.samples} samples at temperature 0 are one answer as often; set "
        "samples: 1, or a temperature"
        for name, profile in profiles
        if profile.samples > 1 and profile.temperature == 0
    ]


def notes(grid: Grid, plan: Plan, where: str, root: Path) -> list[str]:
    """One sentence each.

    Args:
        root: the results', which need not exist yet.
        where: `slurm` or `local`: where the sweep is to run.
    """
    students = dict.fromkeys(cell.axes["student"] for cell in grid.cells)
    missing = [
        f"students.{name}.{fault}"
        for name in students
        for fault in grid.sweep.students[name].missing()
    ]
    data = {id(cell.recipe.data): cell.recipe.data for cell in with_starts(grid.cells)}
    lacking = [fault for config in data.values() for fault in config.missing()]
    missing += lacking
    if lacking:
        missing.append(f"relative paths of data start from the folder you launch in: {Path.cwd()}")
    if why := unusable(root):
        missing.append(why)
    if where == "slurm" and (why := slurm.why_silent()):
        missing.append(f"{why}; launch on a login node")
    if where == "local":
        try:
            check_room(grid.sweep.resources, kinds_to_run(plan), grid.sweep.cluster)
        except UserError as error:
            missing.append(f"{error}; to plan for a cluster: --cluster slurm")
    left_out = [*grid.left_out, *_unused(grid), *dict.fromkeys(_alike(grid))]
    return [*left_out, *(f"before launching: {said}" for said in dict.fromkeys(missing))]
