"""A dress rehearsal on a private cluster of four nodes: the paper's grid, and 2,500 near-empty cells.

    python tests/benchmarks/rehearsal.py [--root FOLDER] [--cells 2500]

1. `rehearsal.yaml`, the paper's runs x 3 seeds with tiny students, trainings on two nodes each: one
   launch that waits to the end, then the figures.
2. Cells whose jobs do nothing, ten to an element, through arrays that depend on each other.

Prints JSON: wall time, seconds that a job began after the last of those that it depends on, and how often
Slurm's programs were called, by the launcher and by the elements. Needs root and Slurm's programs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "slurm"))

from disturbed import GRID, DisturbedSweep, make_checkout  # noqa: E402
from private_cluster import PrivateCluster  # noqa: E402

STUDENTS = ("qwen", "llama")
"""Of `rehearsal.yaml`."""
PROGRAMS = ("sbatch", "squeue", "sacct", "scontrol", "scancel", "srun")
# What elements have and the launcher has not; they take Slurm's own variables from its programs.
SHIM = """\
#!/bin/sh
echo "${{PYTHONSAFEPATH:+element }}{name}" >> '{log}'
exec '{real}' "$@"
"""


def main() -> None:
    """Rehearse and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, help="keep the results here")
    parser.add_argument("--cells", type=int, default=2500, help="near-empty cells")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory(prefix="valley-rehearsal-") as temporary:
        folder = Path(temporary)
        calls = count_calls(folder)
        with PrivateCluster() as cluster:
            os.environ.update(cluster.env)
            report = {"paper": rehearse_paper((options.root or folder / "runs").resolve(), calls)}
            print(json.dumps(report), file=sys.stderr)  # in case that the second part fails
            report["near_empty"] = rehearse_many(folder, options.cells, calls)
    print(json.dumps(report, indent=1))


def count_calls(folder: Path) -> Path:
    """Put programs in front of Slurm's own that count calls; the file that they count in."""
    log = folder / "calls"
    shims = folder / "programs"
    shims.mkdir()
    for name in PROGRAMS:
        shim = shims / name
        shim.write_text(SHIM.format(name=name, log=log, real=shutil.which(name)))
        shim.chmod(0o755)
    os.environ["PATH"] = f"{shims}{os.pathsep}{os.environ['PATH']}"
    return log


def rehearse_paper(root: Path, calls: Path) -> dict[str, Any]:
    """The paper's grid from one launch to the figures."""
    grid = str(REPOSITORY / "tests" / "benchmarks" / "rehearsal.yaml")
    calls.write_text("")
    started = time.perf_counter()
    run("sweeps/launch.py", grid, "--cluster", "slurm", "--wait", "--root", str(root))
    wall_s = time.perf_counter() - started
    for student in STUDENTS:  # two students are no one curve
        figures = root / "sweeps" / "rehearsal" / f"figures-{student}"
        chosen = ("--where", f"student={student}", "--out", str(figures))
        run("analysis/plot_valley.py", "rehearsal", *chosen, "--root", str(root))
    return {
        "wall_s": round(wall_s, 1),
        "results": len(list(root.glob("store/*/*/*/result.json"))),
        **idle_times(root),
        "slurm_calls": dict(Counter(calls.read_text().splitlines())),
    }


def rehearse_many(folder: Path, cells: int, calls: Path) -> dict[str, Any]:
    """Cells whose jobs do nothing."""
    grid = GRID[: GRID.index("grid:")] + (
        f"grid: [{{size: 8, seed: {{range: [0, {cells}]}}}}]\n"
        "resources: {train: {pack: 10}, generate: {pack: 10}, grade: {pack: 10}}\n"
        "preview: {startup_s: 1000}\n"  # so that elements are filled
    )
    sweep = DisturbedSweep(
        make_checkout(folder / "checkout"), folder / "many", seconds=0, grid=grid
    )
    calls.write_text("")
    started = time.perf_counter()
    code, said = sweep.launch("--wait", timeout=3600)
    assert code == 0, said
    wall_s = time.perf_counter() - started
    assert sweep.overlaps() == [] and set(sweep.states()) == {"done"}
    return {
        "cells": cells,
        "wall_s": round(wall_s, 1),
        "results": len(sweep.answers()),
        **idle_times(sweep.root),
        "slurm_calls": dict(Counter(calls.read_text().splitlines())),
    }


def run(script: str, *arguments: str) -> None:
    """A script to its end."""
    command = [sys.executable, script, *arguments]
    subprocess.run(command, cwd=REPOSITORY, check=True, stdout=sys.stderr)


def idle_times(root: Path) -> dict[str, Any]:
    """How long jobs waited after the end of the last of those that they depend on, by their stints."""
    spans: dict[str, tuple[float, float]] = {}
    inputs: dict[str, list[str]] = {}
    for path in root.glob("store/*/*/*/job.json"):
        job = json.loads(path.read_text())
        stints = (path.parent / "stints.jsonl").read_text().splitlines()
        last = json.loads(stints[-1])
        spans[job["identity"]] = (last["began"], last["ended"])
        inputs[job["identity"]] = [place["identity"] for place in job["inputs"].values()]
    idle_s = [
        spans[identity][0] - max(spans[parent][1] for parent in parents)
        for identity, parents in inputs.items()
        if parents
    ]
    return {
        "idle_s_median": round(statistics.median(idle_s), 1),
        "idle_s_p95": round(statistics.quantiles(idle_s, n=20)[-1], 1),
    }


if __name__ == "__main__":
    main()
