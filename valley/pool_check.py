"""Sizes held against pools: whether each training can have as many traces as it asks for.

What a pool holds is known exactly once it is prepared; before, its source may know an upper bound.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from valley.data.arm import Arm, arm_of, too_few
from valley.data.selection_config import CORRECTNESS_ARMS, DIFFICULTY_ARMS
from valley.errors import UserError
from valley.job import Job, Trail
from valley.sweep import Cell

Held = Callable[[Arm, int], int | None]
"""How much of what `size` counts an arm of a prepared pool holds, under a `data_seed`; None if unknown."""


@dataclass(frozen=True)
class Pool:
    """What is known of a prepared pool."""

    strata: Mapping[str, int]
    """Traces by `difficulty/correctness`."""
    held: Held = lambda arm, data_seed: None
    """Asked where a training's controls leave out some of its arm."""


@dataclass
class _Limits:
    """What arms hold, each asked once."""

    planned: Trail
    pools: Mapping[str, Pool]
    _found: dict[tuple[Any, ...], tuple[int | None, bool]] = field(default_factory=dict)

    def of(self, job: Job, arm: Arm) -> tuple[int | None, bool]:
        """What a training's arm holds, None if unknown; and whether that is exact."""
        identity, data_seed = job.inputs["pool"].identity, job.config["data_seed"]
        controls = job.config["select"].get("controls")
        key = (
            identity,
            arm.difficulty,
            arm.correctness,
            data_seed if controls else 0,
            repr(controls),
        )
        if key not in self._found:
            self._found[key] = self._look(identity, arm, data_seed, bool(controls))
        return self._found[key]

    def strata(self, identity: str) -> dict[str, int]:
        """What bounds the arms of a pool that is not prepared; nothing where all have one bound."""
        limit = self.planned.pools[identity].pool_limit
        found = {
            f"{difficulty}/{correctness}": most
            for difficulty in DIFFICULTY_ARMS
            for correctness in CORRECTNESS_ARMS
            if (most := limit(difficulty, correctness)) is not None
        }
        return found if len(set(found.values())) > 1 else {}

    def _look(
        self, identity: str, arm: Arm, data_seed: int, controlled: bool
    ) -> tuple[int | None, bool]:
        pool = self.pools.get(identity)
        if pool is not None and controlled:
            return pool.held(arm, data_seed), True
        if pool is not None:
            return pool.strata.get(f"{arm.difficulty}/{arm.correctness}"), True
        if arm.select.size_in in ("tokens", "characters"):
            return None, False
        # Controls leave out some, so that what bounds the arm bounds what is left of it.
        return self.planned.pools[identity].pool_limit(arm.difficulty, arm.correctness), False


def check_pool(planned: Trail, pools: Mapping[str, Pool]) -> list[str]:
    """Refuse trainings that ask for more traces than the pool can hold, the parents of stages included.

    Args:
        pools: those that are prepared, by their job's identity; of others the source's upper bound is
            used.

    Returns:
        What could not be held against anything, a sentence per pool.

    Raises:
        UserError: says where the size stands, of which cell, what there is, and the counts per stratum.
    """
    limits = _Limits(planned, pools)
    unknown: dict[str, set[str]] = {}
    for job in planned.jobs:
        if job.kind != "train" or job.config["select"] == "lessons":
            continue
        select, pool = job.config["select"], job.inputs["pool"]
        arm = arm_of(select)
        limit, exact = limits.of(job, arm)
        if limit is None:
            unknown.setdefault(pool.label, set()).add(arm.name)
        elif select["size"] > limit:
            counts = pools[pool.identity].strata if exact else limits.strata(pool.identity)
            said = too_few(select["size"], arm, limit, counts, "" if exact else "at most ")
            cell = cell_of(planned, job)
            raise UserError(
                f"{cell.place('size', select['size'])}: {said} (cell {cell.label}); "
                "ask for a smaller size, or for a larger pool under `data`"
            )
    return [
        f"{label}: the counts of {', '.join(sorted(arms))} are not known before the pool is prepared "
        "and its traces are tokenized; a size that is too large ends its training"
        for label, arms in sorted(unknown.items())
    ]


def cell_of(planned: Trail, training: Job) -> Cell:
    """The cell that a training makes the checkpoint of: of a row, or one that its stage starts from."""
    for row in planned.rows:
        cell: Cell | None = row.cell
        checkpoint = row.generate.inputs["model"]
        while cell is not None:
            if not cell.is_baseline:
                if checkpoint is training:
                    return cell
                checkpoint = checkpoint.inputs["init"]
            cell = cell.start
    raise KeyError(training.label)
