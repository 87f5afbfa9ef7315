"""The environment of an array element: variables that its code and its libraries read."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from valley.cluster.config import Resources


def environment_of(resources: Resources, snapshot: Path) -> dict[str, str]:
    """The variables of an element: code from the snapshot, and one thread per CPU that it was given."""
    return {
        # Before the user's own, which modules of a cluster may have set.
        "PYTHONPATH": os.pathsep.join(filter(None, [str(snapshot), os.environ.get("PYTHONPATH")])),
        "PYTHONSAFEPATH": "1",  # or a file in the working folder could stand in for a module
        "OMP_NUM_THREADS": str(resources.cpus_per_task),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "DS_ACCELERATOR": "cuda" if resources.gpus_per_node else "cpu",
    }


def environment_lines(resources: Resources, snapshot: Path) -> list[str]:
    """The same as shell lines."""
    lines = [f"export {k}={shlex.quote(v)}" for k, v in environment_of(resources, snapshot).items()]
    # srun of Slurm 22.05 and later does not take it over from sbatch.
    return [*lines, "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK"]


@contextmanager
def changed_environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
