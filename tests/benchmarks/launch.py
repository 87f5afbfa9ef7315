"""What launching costs on Slurm: whole processes, medians, on a private cluster whose partition is down.

    python tests/benchmarks/launch.py [--cells 1000] [--repeats 3] [--peers PYTHON]

Prints JSON: seconds and peak memory of planning and submitting `--cells` cells of one kind (grading;
everything before it is there already) as one array, of launching again when nothing is to be done, and of
`status.py`; then 2.5 times as many cells, in chunks below MaxArraySize. With `--peers`, an interpreter
that has them, the same number of trivial cells is submitted in the same run by others:

    python -m venv peers-launch
    peers-launch/bin/pip install hydra-core hydra-submitit-launcher dora-search torch==2.13.0

hydra-core with hydra-submitit-launcher (until its array is in the queue, since it then waits for the
jobs), and dora-search (one array without a monitor, and launched again). Needs root and Slurm's
programs: tests/slurm/debian_packages.py names the packages.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "slurm"))

from private_cluster import PrivateCluster  # noqa: E402

from valley.job_file import read_job, write_result  # noqa: E402
from valley.store import Store  # noqa: E402
from valley.sweep import load_sweep  # noqa: E402
from valley.trail import trail  # noqa: E402

GRID = """\
name: bench
students: {{tiny: {{source: tiny, layers: 1}}}}
data: {{source: tiny}}
generate: {{profiles: {{greedy: {{max_tokens: 24}}}}}}
grid: [{{size: 16, seed: {{range: [0, {cells}]}}}}]
"""
HYDRA_APP = """\
import hydra

@hydra.main(version_base=None, config_path=".", config_name="config")
def main(config):
    pass

main()
"""
DORA_MAIN = """\
import argparse
from dora import argparse_main

parser = argparse.ArgumentParser()
parser.add_argument("--size", type=int, default=0)

@argparse_main(parser=parser, dir={folder!r}, exclude=[])
def main():
    pass

if __name__ == "__main__":
    main()
"""
DORA_GRID = """\
from dora import Explorer

def explore(launcher):
    launcher.slurm_(gpus=0, mem_per_gpu=1, cpus_per_gpu=1, partition="main")
    with launcher.job_array():
        for size in range({cells}):
            launcher(size=size)

explorer = Explorer(explore)
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", metavar="PYTHON", help="an interpreter with hydra and dora")
    options = parser.parse_args()
    cells = options.cells
    with (
        tempfile.TemporaryDirectory(prefix="valley-bench-") as temporary,
        PrivateCluster(max_array_size=cells + 1) as cluster,
    ):
        os.environ.update(cluster.env)
        # Jobs are queued and none starts, so that nothing but the launching takes the machine's time.
        subprocess.run(["scontrol", "update", "PartitionName=main", "State=DOWN"], check=True)
        folder = Path(temporary)
        ungraded, many = folder / "ungraded", folder / "many"
        write_all_but_gradings(ungraded, cells)
        write_all_but_gradings(many, cells * 5 // 2)
        rounds: list[dict[str, Any]] = []
        for number in range(options.repeats):
            rounds.append(valley_round(ungraded, many, folder / f"valley-{number}", cells))
            if options.peers:
                rounds[-1] |= hydra_round(options.peers, folder / f"hydra-{number}", cells)
                rounds[-1] |= dora_round(options.peers, folder / f"dora-{number}", cells)
    print(
        json.dumps(
            {
                "cells": cells,
                "repeats": options.repeats,
                "medians": {
                    name: {
                        "wall_s": round(statistics.median(r[name][0] for r in rounds), 3),
                        "peak_mib": round(statistics.median(r[name][1] for r in rounds), 1),
                    }
                    for name in rounds[0]
                },
            },
            indent=1,
        )
    )


def write_all_but_gradings(root: Path, cells: int) -> None:
    """A root in which every job of the grid has a result, but for the gradings."""
    root.mkdir()
    grid = root / "bench.yaml"
    grid.write_text(GRID.format(cells=cells))
    store = Store(root)
    os.fsync, synced = (lambda _: None), os.fsync  # this is not what is measured
    strata = {
        f"{difficulty}/{correctness}": 10**6
        for difficulty in ("all", "easy", "medium", "hard")
        for correctness in ("all", "correct", "incorrect")
    }
    try:
        for job in trail(*load_sweep(grid)).jobs:
            if job.kind != "grade":
                laid = read_job(store.lay(job, job.execution))
                write_result(laid, {"strata": strata}, {"wall_s": 1.0}, {})
    finally:
        os.fsync = synced


def valley_round(ungraded: Path, many: Path, root: Path, cells: int) -> dict[str, Any]:
    """Submit, launch again, look; then more cells than one array may have."""
    shutil.copytree(ungraded, root)
    launch = [sys.executable, "sweeps/launch.py", str(root / "bench.yaml"), "--cluster", "slurm"]
    status = [sys.executable, "sweeps/status.py", "bench", "--json"]
    submitted = timed([*launch, "--root", str(root)])
    assert queued() == cells, queued()
    again = timed([*launch, "--root", str(root)])
    seen = timed([*status, "--root", str(root)])
    assert queued() == cells, queued()
    cancel_all()
    chunked = root / "many"
    shutil.copytree(many, chunked)
    launch[2] = str(chunked / "bench.yaml")
    in_chunks = timed([*launch, "--root", str(chunked)])
    assert queued() == cells * 5 // 2, queued()
    cancel_all()
    shutil.rmtree(root)
    return {
        "valley: plan and submit": submitted,
        "valley: launch again": again,
        "valley: status": seen,
        "valley: plan and submit 2.5 times as many, in chunks": in_chunks,
    }


def hydra_round(python: str, folder: Path, cells: int) -> dict[str, Any]:
    """Submit with hydra's own launcher, until the array is in the queue."""
    folder.mkdir()
    (folder / "app.py").write_text(HYDRA_APP)
    (folder / "config.yaml").write_text("size: 0\n")
    command = [python, "app.py", "--multirun", "hydra/launcher=submitit_slurm"]
    command += [f"size=range({cells})", f"hydra.launcher.array_parallelism={cells}"]
    measured = timed(command, folder, until=lambda: queued() == cells)
    cancel_all()
    shutil.rmtree(folder)
    return {"hydra: compose and submit": measured}


def dora_round(python: str, folder: Path, cells: int) -> dict[str, Any]:
    """Submit with dora's grid, and launch it again."""
    package = folder / "bench"
    (package / "grids").mkdir(parents=True)
    for init in (package / "__init__.py", package / "grids" / "__init__.py"):
        init.touch()
    (package / "train.py").write_text(DORA_MAIN.format(folder=str(folder / "outputs")))
    (package / "grids" / "sizes.py").write_text(DORA_GRID.format(cells=cells))
    command = [python, "-m", "dora", "-P", "bench", "grid", "sizes"]
    command += ["--no_monitoring", "--no_git_save"]
    submitted = timed(command, folder)
    assert queued() == cells, queued()
    again = timed(command, folder)
    assert queued() == cells, queued()
    cancel_all()
    shutil.rmtree(folder)
    return {"dora: plan and submit": submitted, "dora: launch again": again}


def timed(
    command: list[str], folder: Path = REPOSITORY, until: Callable[[], bool] | None = None
) -> tuple[float, float]:
    """Wall seconds and peak MiB of a whole process.

    Args:
        until: where given, the process is ended as soon as this holds.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    try:
        while until is not None and process.poll() is None and not until():
            time.sleep(0.05)
        wall_s = time.perf_counter() - started
        if until is not None:
            process.send_signal(signal.SIGKILL)
        said = process.stderr.read() if process.stderr else ""
        _, status, usage = os.wait4(process.pid, 0)
        if until is None:
            wall_s = time.perf_counter() - started
    except BaseException:
        process.kill()
        raise
    process.returncode = os.waitstatus_to_exitcode(status)
    if until is None and process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}: {said[-2000:]}")
    return wall_s, usage.ru_maxrss / 1024


def queued() -> int:
    """How many array elements are in the queue."""
    listed = subprocess.run(
        ["squeue", "--noheader", "--array", "--format=%i"],
        capture_output=True,
        text=True,
        check=True,
    )
    return len(listed.stdout.split())


def cancel_all() -> None:
    """Cancel everything on the private cluster, and wait until it is gone."""
    subprocess.run(["scancel", "--partition=main"], check=True)
    while queued():
        time.sleep(0.1)


if __name__ == "__main__":
    main()
