"""Sizes held against held-out traces: whether each training set stays clear of their problems.

Exactly once the pool is prepared; before, by the number of traces that its source may know of. A generation
looks again, at what its student was really trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from valley.data.arm import Arm, arm_of
from valley.errors import UserError
from valley.job import Job, Trail
from valley.pool_check import cell_of

Room = Callable[[Arm, int, dict[str, Any]], int | None]
"""The largest size of an arm, under a `data_seed`, that is clear of what some settings hold out; None if
unknown."""


def check_held_out(planned: Trail, rooms: Mapping[str, Room]) -> None:
    """Refuse trainings on sets that would hold a problem that is held out of their pool.

    Args:
        rooms: of the pools that are prepared, by their job's identity.

    Raises:
        UserError: says where the size stands, of which cell, and the largest that is clear.
    """
    held_out: dict[str, list[dict[str, Any]]] = {}
    for job in planned.jobs:
        if "held_out" in job.config:
            of = job.inputs["pool"].identity
            held_out.setdefault(of, []).append(job.config["held_out"])
    if not held_out:
        return
    found: dict[str, int | None] = {}
    for job in planned.jobs:
        if job.kind != "train" or job.config["select"] == "lessons":
            continue
        size, arm = job.config["select"]["size"], arm_of(job.config["select"])
        for config in held_out.get(job.inputs["pool"].identity, []):
            key = repr((job.inputs["pool"].identity, arm, job.config["data_seed"], config))
            if key not in found:
                found[key] = _room(planned, rooms, job, arm, config)
            if (most := found[key]) is not None and size > most:
                cell = cell_of(planned, job)
                raise UserError(
                    f"{cell.place('size', size)}: a set of {size} {arm.select.size_in} of {arm.name} holds "
                    f"problems of the {config['traces']} traces of generate.held_out (cell {cell.label}); at "
                    f"most {most} do not; hold out fewer, ask for a smaller size, or for a larger pool "
                    "under `data`"
                )


def _room(
    planned: Trail, rooms: Mapping[str, Room], job: Job, arm: Arm, config: dict[str, Any]
) -> int | None:
    pool = job.inputs["pool"].identity
    if pool in rooms:
        return rooms[pool](arm, job.config["data_seed"], config)
    if (arm.difficulty, arm.correctness, arm.select.size_in) != ("all", "all", "traces"):
        return None
    limit = planned.pools[pool].pool_limit("all", "all")
    return None if limit is None else max(0, limit - config["traces"])
