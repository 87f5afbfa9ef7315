"""What the framework costs: a sweep's wall time against the same work done in one warm process.

    python tests/benchmarks/sweep.py [--grid grid.yaml] [--set KEY=VALUE]

Prints JSON. `wall_s` is the launcher's whole process on an empty root; `compute_s` the same prepare,
train, generate and grade calls in sequence in one process that has everything imported; `overhead` is
wall x workers / compute; `critical_path_s` the longest chain of jobs as they took in the sweep. Takes
about three times as long as the sweep.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# Before torch is imported: one thread, as each job of the sweep has.
os.environ["OMP_NUM_THREADS"] = "1"

from valley.cluster.kinds import load_kind
from valley.job import Job
from valley.job_file import read_job, write_result
from valley.store import Store
from valley.sweep import find_grid, load_sweep
from valley.trail import trail

REPOSITORY = Path(__file__).parents[2]


def timed_launch(grid: str, settings: list[str], root: Path, *extra: str) -> float:
    """Wall seconds of one launch, whole process."""
    command = [sys.executable, "sweeps/launch.py", grid, "--cluster", "local", "--root", str(root)]
    command += [part for setting in settings for part in ("--set", setting)]
    started = time.perf_counter()
    subprocess.run([*command, *extra], cwd=REPOSITORY, check=True, stdout=sys.stderr)
    return time.perf_counter() - started


def compute(jobs: list[Job], root: Path) -> dict[str, float]:
    """Seconds by kind of all jobs, called one after another in this process."""
    store = Store(root)
    seconds: dict[str, float] = {}
    for job in jobs:
        folder = store.lay(job, {**job.execution, "workers": 1})
        run, laid = load_kind(job.kind), read_job(folder)
        started = time.perf_counter()
        outcome = run(laid)
        seconds[job.kind] = seconds.get(job.kind, 0.0) + time.perf_counter() - started
        write_result(laid, outcome, {}, {})
    return seconds


def critical_path_s(jobs: list[Job], root: Path) -> float:
    """The longest chain of jobs, by the wall time that each reported."""
    store, ends = Store(root), {}
    for job in jobs:
        result = store.result(job.kind, job.identity)
        assert result is not None, job
        before = max((ends[parent.identity] for parent in job.parents), default=0.0)
        ends[job.identity] = before + result["cost"]["wall_s"]
    return max(ends.values())


def with_parents(job: Job) -> list[Job]:
    """A job after all that it needs."""
    found = {j: None for parent in job.parents for j in with_parents(parent)}
    return [*found, job]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grid", default="grid.yaml")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    options = parser.parse_args()
    os.chdir(REPOSITORY)
    # DeepSpeed logs to stdout, which is to hold nothing but the JSON.
    stdout = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sweep, cells = load_sweep(find_grid(options.grid), options.settings)
    jobs = trail(sweep, cells).jobs
    workers = sweep.cluster.local_cpus or len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as temporary:
        roots = {name: Path(temporary) / name for name in ("warm", "sweep", "again")}
        # Imports and the first calls are the launcher's to bear and not the computation's.
        import torch

        torch.set_num_threads(1)
        compute(with_parents(next(job for job in jobs if job.kind == "grade")), roots["warm"])
        wall_s = timed_launch(options.grid, options.settings, roots["sweep"])
        again_s = timed_launch(options.grid, options.settings, roots["sweep"])
        dry_run_s = timed_launch(options.grid, options.settings, roots["warm"], "--dry-run")
        started = time.perf_counter()
        command = [sys.executable, "sweeps/status.py", "--root", str(roots["sweep"])]
        subprocess.run(command, cwd=REPOSITORY, check=True, stdout=sys.stderr)
        status_s = time.perf_counter() - started
        seconds = compute(jobs, roots["again"])
        compute_s = sum(seconds.values())
        result: dict[str, Any] = {
            "sweep": sweep.name,
            "jobs": len(jobs),
            "cells": len(cells),
            "workers": workers,
            "wall_s": round(wall_s, 1),
            "compute_s": round(compute_s, 1),
            "compute_by_kind_s": {kind: round(value, 1) for kind, value in seconds.items()},
            "overhead": round(wall_s * workers / compute_s, 2),
            "critical_path_s": round(critical_path_s(jobs, roots["sweep"]), 1),
            "second_launch_s": round(again_s, 2),
            "dry_run_s": round(dry_run_s, 2),
            "status_s": round(status_s, 2),
        }
    print(json.dumps(result, indent=1), file=stdout)


if __name__ == "__main__":
    main()
