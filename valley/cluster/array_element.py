"""What submitit runs in every element of a Slurm array: the element finds its jobs, and says its name."""

from __future__ import annotations

import os
from pathlib import Path

from valley.cluster import slurm
from valley.cluster.element import run_element
from valley.cluster.requeue import RequeuePolicy
from valley.errors import UserError
from valley.job_file import read_job


def run_array_element(
    elements: dict[int, list[str]], snapshot: str, requeue: RequeuePolicy
) -> None:
    """Run the element of a Slurm array that this process belongs to; see `run_element`.

    Args:
        elements: by index in the array, the folders of the jobs of every element.
        requeue: what to do at the time limit.
    """
    array, index = os.environ["SLURM_ARRAY_JOB_ID"], os.environ["SLURM_ARRAY_TASK_ID"]
    folders = elements[int(index)]
    if folders and os.environ.get("SLURM_PROCID") == "0":
        slurm.rename(f"{array}_{index}", _shown_name(folders))
    run_element(folders, snapshot, requeue=requeue)


def _shown_name(folders: list[str]) -> str:
    """What squeue is to show of an element: its first job, how many more, and the array's own name."""
    array_name = os.environ.get("SLURM_JOB_NAME", "")
    try:
        short = str(read_job(Path(folders[0])).execution.get("short", ""))
    except UserError:  # told where the job is run
        return array_name
    more = f"+{len(folders) - 1}" if len(folders) > 1 else ""
    # After a requeue the name is this one already.
    return array_name if array_name.startswith(short) else f"{short}{more}-{array_name}"
