"""Slurm's own programs, asked by launchers and jobs: the only caller of squeue, sacct, scontrol and scancel.

sbatch and srun are called by submitit.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from valley.errors import UserError

TIMEOUT_S = 60

# Slurm's words for a job that will not run again unless it is submitted again.
ENDED = {
    "BOOT_FAIL": "the node failed to start",
    "CANCELLED": "cancelled",
    "COMPLETED": "ended without a result",
    "DEADLINE": "past its deadline",
    "FAILED": "failed",
    "NODE_FAIL": "its node failed",
    "OUT_OF_MEMORY": "out of memory",
    "PREEMPTED": "preempted",
    "TIMEOUT": "past its time limit",
}


@dataclass(frozen=True)
class Task:
    """What Slurm says of one array element. `folder` is its working folder, where it was asked for."""

    state: str
    reason: str
    folder: str = ""


def answers() -> bool:
    """Whether sbatch is installed and the controller answers."""
    if shutil.which("sbatch") is None:
        return False
    try:
        done = subprocess.run(["scontrol", "ping"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 and "UP" in done.stdout


def queue() -> dict[tuple[str, int], Task]:
    """All of this user's array elements that Slurm still knows: one squeue call.

    Returns:
        By (array id, index); a job that is no array has index 0.

    Raises:
        UserError: squeue failed, so nothing can be said of any job.
    """
    text = _call(
        ["squeue", "--me", "--noheader", "--array", "--states=all", "--format=%F|%K|%T|%r|%Z"]
    )
    tasks = {}
    for line in text.splitlines():
        array, index, state, reason, folder = line.strip().split("|", 4)
        tasks[array, int(index) if index.isdigit() else 0] = Task(state, reason, folder)
    return tasks


def accounting(array_ids: Iterable[str]) -> dict[tuple[str, int], Task]:
    """What accounting remembers of these arrays: one sacct call; empty where it is not set up."""
    ids = sorted(set(array_ids))
    if not ids or shutil.which("sacct") is None:
        return {}
    command = ["sacct", "--noheader", "--parsable2", "--allocations", "--array"]
    command += ["--format=JobID,State,ExitCode", f"--jobs={','.join(ids)}"]
    try:
        text = _call(command)
    except UserError:
        return {}
    tasks = {}
    for line in text.splitlines():
        job, state, exit_code = line.split("|", 2)
        match = re.fullmatch(r"(\d+)(?:_(\d+))?", job)
        if match:
            word = state.split()[0]
            reason = f"exit code {exit_code}" if exit_code != "0:0" else ""
            tasks[match.group(1), int(match.group(2) or 0)] = Task(word, reason)
    return tasks


def max_array_size() -> int:
    """The most elements that one array may have here."""
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", _call(["scontrol", "show", "config"]), re.M)
    return max(1, int(match.group(1)) - 1) if match else 1000


def hostnames(nodelist: str) -> list[str]:
    """The nodes that a list such as `n[1-3,7]` names, in its order."""
    return _call(["scontrol", "show", "hostnames", nodelist]).split()


def address(node: str) -> str:
    """What a node can be reached by: its name, or where that does not resolve the address Slurm has."""
    try:
        socket.getaddrinfo(node, None)
    except socket.gaierror:
        found = re.search(r"NodeAddr=(\S+)", _call(["scontrol", "show", "node", node]))
        return found.group(1) if found else node
    return node


def cancel(job_ids: list[str]) -> None:
    """Cancel arrays or elements (`123` or `123_4`)."""
    if job_ids:
        _call(["scancel", *job_ids])


def this_task() -> str:
    """Slurm's name of the array element that this process is part of (`123_4`); empty elsewhere."""
    env = os.environ
    if env.get("SUBMITIT_EXECUTOR") != "slurm":
        return ""
    if "SLURM_ARRAY_JOB_ID" in env:
        return f"{env['SLURM_ARRAY_JOB_ID']}_{env['SLURM_ARRAY_TASK_ID']}"
    return env.get("SLURM_JOB_ID", "")


def requeue(task: str) -> None:
    """End an element and queue it again (`123_4`, not the number that its SLURM_JOB_ID gives).

    Raises:
        UserError: the site or the job's own settings forbid it.
    """
    _call(["scontrol", "requeue", task])


def _call(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"{command[0]} did not answer ({error}); is the cluster up?") from error
    if done.returncode:
        raise UserError(
            f"{command[0]} failed with status {done.returncode}: {done.stderr.strip() or 'no message'}"
        )
    return done.stdout
