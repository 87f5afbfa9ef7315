"""The lock: a result's own grid file, by which its cell can be run again. Pure, but for reading one.

It is the sweep as it was launched, every default filled in, reduced to the one cell and decoding profile
that the job was first made for (to the one cell, where the grid has conditional settings). A launch notes it in `job.json`, and the job copies it into its result,
with the launch's own circumstances (`valley.checkout`) and the estimate that the preview made of it.
What cells share, such as the data or a student's first lessons, carries the lock of the first of them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from valley.axes import NAMED_AXES
from valley.errors import UserError
from valley.evaluate.profiles import Profile
from valley.job import Job, Row
from valley.job_file import RESULT_SCHEMA
from valley.sweep import Cell, Sweep


class Locks:
    """The locks of a sweep's jobs. What cells have in common is made once."""

    def __init__(self, sweep: Sweep, rows: Iterable[Row]) -> None:
        self._sweep = sweep
        self._document = sweep.model_dump(mode="json", by_alias=True)
        self._rows: dict[str, Row] = {}
        self._made: dict[tuple[int, str], dict[str, Any]] = {}
        self._drawn: dict[str, int] = {}
        """How many rounds of each profile's samples are planned."""
        for row in rows:
            if row.profile not in self._drawn:
                self._drawn[row.profile] = len(row.earlier) + 1
            stack = [row.grade]
            while stack:
                job = stack.pop()
                if job.identity not in self._rows:
                    self._rows[job.identity] = row
                    stack.extend(job.parents)

    def of(self, job: Job) -> dict[str, Any]:
        """The lock of a job of the sweep."""
        row = self._rows[job.identity]
        key = (id(row.cell), row.profile)
        if key not in self._made:
            self._made[key] = self._reduced(row.cell, row.profile)
        return self._made[key]

    def _reduced(self, cell: Cell, profile: str) -> dict[str, Any]:
        whole = self._document
        axes = {name: cell.axes[name] for name in (*NAMED_AXES, *cell.varied)}
        generate = whole["generate"]
        if whole["when"]:
            # Conditions may name any student, stage or profile, so all of them stay.
            profiles = {
                name: self._pinned(cell, name, p) for name, p in generate["profiles"].items()
            }
            generate = {**generate, "profiles": profiles}
            return {**whole, "generate": generate, "grid": [_single(axes)]}
        if any(name.startswith("generate.profiles") for name in axes):
            # They could not be applied to the one profile that is left, so they are filled in.
            generate = cell.recipe.generate.model_dump(mode="json")
            axes = {name: axes[name] for name in axes if not name.startswith("generate.")}
        profiles = {profile: self._pinned(cell, profile, generate["profiles"][profile])}
        if profile != next(iter(generate["profiles"])):
            generate = {**generate, "held_out": None}  # which is the first profile's alone
        name = axes["student"]
        stages = {str(number): whole["stages"][str(number)] for number in self._chain(cell)}
        return {
            **whole,
            "students": {name: whole["students"][name]},
            "stages": stages,
            "generate": {**generate, "profiles": profiles},
            "grid": [_single(axes)],
        }

    def _pinned(self, cell: Cell, name: str, profile: dict[str, Any]) -> dict[str, Any]:
        """A profile that is drawn in as many rounds as here: one cell alone could not tell when to stop."""
        own = cell.recipe.generate.profiles[name]
        # A condition may give the cell one round, and a profile that no cell is planned for has no rounds.
        if profile["rounds"] == 1 or own.rounds == 1 or name not in self._drawn:
            return profile
        return Profile.model_validate(profile).up_to(self._drawn[name]).model_dump(mode="json")

    def _chain(self, cell: Cell) -> list[int]:
        """The cell's stage, and those that it starts from."""
        chain = [int(cell.axes["stage"])]
        while (parent := self._sweep.stages[chain[-1]].parent) is not None:
            chain.append(parent.stage if parent.stage is not None else chain[-1] - 1)
        return sorted(chain)


def _single(axes: Mapping[str, Any]) -> dict[str, Any]:
    """A block of one cell. A value that is a list itself would be taken for several."""
    return {axis: [v] if isinstance(v, list | dict) else v for axis, v in axes.items()}


def launch_notes(
    sweep: Sweep,
    rows: Iterable[Row],
    launched: Callable[[], Mapping[str, Any]],
    estimate_s: Callable[[Job], float],
) -> Callable[[Job], dict[str, Any]]:
    """What a launch notes of each job that it lays, for the job's result.

    Args:
        launched: tells the launch's circumstances; asked once, and only if a job is laid.
        estimate_s: a job's estimated seconds, by the grid's assumptions.
    """

    @cache
    def shared() -> tuple[Locks, Mapping[str, Any]]:
        return Locks(sweep, rows), launched()

    def notes(job: Job) -> dict[str, Any]:
        locks, circumstances = shared()
        return {
            "lock": locks.of(job),
            "launched": circumstances,
            "estimated_s": round(estimate_s(job), 3),
        }

    return notes


@dataclass(frozen=True)
class Locked:
    """A result that carries a lock, and the file that it was read from."""

    path: Path
    result: dict[str, Any]

    @property
    def document(self) -> dict[str, Any]:
        """The grid of the one cell, under a name of its own: it must not replace the sweep's manifest."""
        lock: dict[str, Any] = self.result["lock"]
        return {**lock, "name": f"{lock['name']}-from-{self.result['identity'][:8]}"}


def read_locked(path: Path) -> Locked:
    """Read a `result.json`, or the one in a job's folder.

    Raises:
        UserError: it is missing, damaged, no result, or of a version that wrote no lock.
    """
    path = path / "result.json" if path.is_dir() else path
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"--from {path}: cannot be read ({error.strerror}); give a result.json of the store, or "
            "the folder that it lies in"
        ) from error
    except ValueError as error:
        raise UserError(f"--from {path}: not JSON ({error}); give an undamaged result") from error
    if not isinstance(value, dict) or value.get("schema") != RESULT_SCHEMA:
        raise UserError(
            f"--from {path}: not a {RESULT_SCHEMA} file; give a result.json of the store"
        )
    if not isinstance(value.get("lock"), dict):
        raise UserError(
            f"--from {path}: this result carries no lock: it was made by a version before locks, or "
            "without a launch; launch the grid that it came from (runs/sweeps/<name>/sweep.yaml)"
        )
    return Locked(path.resolve(), value)
