"""The canary: the cell that is run first, through all kinds, since it costs the least. Pure."""

from __future__ import annotations

from collections.abc import Callable

from valley.job import Job, Row, Trail


def smallest_cell(planned: Trail, cost_s: Callable[[Job], float]) -> Trail:
    """The part of a trail that makes its cheapest cell: of those that train, if any does.

    Args:
        cost_s: a job's estimated seconds; what a cell rests on counts as its own.
    """
    cells: dict[str, list[Row]] = {}
    for row in planned.rows:
        cells.setdefault(row.cell.label, []).append(row)
    training = [rows for rows in cells.values() if rows[0].train is not None]
    needs = [(rows, _needs(rows)) for rows in training or cells.values()]
    rows, needed = min(needs, key=lambda pair: sum(cost_s(job) for job in pair[1]))
    jobs = [job for job in planned.jobs if job in needed]
    return Trail(
        rows,
        jobs,
        {
            job.identity: planned.pools[job.identity]
            for job in jobs
            if job.identity in planned.pools
        },
    )


def _needs(rows: list[Row]) -> set[Job]:
    """Everything that these rows rest on, with themselves."""
    found: set[Job] = set()
    stack = [row.grade for row in rows]
    while stack:
        job = stack.pop()
        if job not in found:
            found.add(job)
            stack.extend(job.parents)
    return found
