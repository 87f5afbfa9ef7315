"""Pool limits: no cell may ask for more traces than its pool can hold. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from valley.errors import UserError
from valley.job import Trail


def check_pool(planned: Trail, strata: Mapping[str, Mapping[str, int]]) -> None:
    """Refuse trainings that ask for more traces than the pool can hold, the parents of stages included.

    Args:
        strata: exact counts by `difficulty/correctness` of the pools that are prepared, by their
            job's identity; of others the source's upper bound is used.

    Raises:
        UserError: names the cell, the size wanted, and what there is.
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
            raise UserError(
                f"cell {job.label}: size {select['size']} is larger than the pool: "
                f"{'' if known else 'at most '}{limit} traces are {stratum}; "
                "ask for a smaller size, or for a larger pool under `data`"
            )
