"""Pool limits: no cell may ask for more traces than its pool can hold. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from valley.errors import UserError
from valley.job import Job, Trail
from valley.sweep import Cell


def check_pool(planned: Trail, strata: Mapping[str, Mapping[str, int]]) -> None:
    """Refuse trainings that ask for more traces than the pool can hold, the parents of stages included.

    Args:
        strata: exact counts by `difficulty/correctness` of the pools that are prepared, by their
            job's identity; of others the source's upper bound is used.

    Raises:
        UserError: says where the size stands, of which cell, and what there is.
    """
    limits: dict[tuple[str, str, str], int | None] = {}
    for job in planned.jobs:
        if job.kind != "train" or job.config["select"] == "lessons":
            continue
        select, pool = job.config["select"], job.inputs["pool"].identity
        difficulty, correctness = select["difficulty"], select["correctness"]
        stratum = f"{difficulty}/{correctness}"
        known, key = strata.get(pool), (pool, difficulty, correctness)
        if key not in limits:
            bound = planned.pools[pool].pool_limit(difficulty, correctness)
            limits[key] = known[stratum] if known else bound
        limit = limits[key]
        if limit is not None and select["size"] > limit:
            cell = _cell_of(planned, job)
            raise UserError(
                f"{cell.place('size', select['size'])}: size {select['size']} is larger than the pool: "
                f"{'' if known else 'at most '}{limit} traces are {stratum} (cell {cell.label}); "
                "ask for a smaller size, or for a larger pool under `data`"
            )


def _cell_of(planned: Trail, training: Job) -> Cell:
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
