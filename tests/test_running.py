from __future__ import annotations

from running import Launch

from valley.ledger import Ledger
from valley.plan import Known, decide
from valley.store import Store
from valley.sweep import load_sweep
from valley.trail import trail

GRID = """
name: s
students: {tiny: {source: tiny, first_lessons: null}}
data: {source: tiny}
generate: {profiles: {greedy: {}}}
grid: [{size: [8, 16]}]
"""


def test_nothing_is_submitted_twice_nor_what_rests_on_what_was(spaced):
    """A training that was submitted and is to run again (cancelled, say) holds its followers back."""
    path = spaced / "grid.yaml"
    path.write_text(GRID)
    sweep, cells = load_sweep(path)
    planned = trail(sweep, cells)
    launch = Launch(sweep, Store(spaced), Ledger(spaced / "sweeps" / "s"), "slurm")
    states = {job.identity: "done" if job.kind == "prepare" else "new" for job in planned.jobs}
    plan = decide(planned, lambda job: Known(states[job.identity]))
    kinds = ["train", "train", "generate", "generate", "grade", "grade"]
    assert [d.job.kind for d in launch.fresh(plan)] == kinds
    first = next(job for job in planned.jobs if job.kind == "train")
    launch.tried = {first.identity}
    left = [d.job for d in launch.fresh(plan)]
    assert [job.kind for job in left] == ["train", "generate", "grade"]
    assert not any(first in (job, *job.parents) for job in left)
