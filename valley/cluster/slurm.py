"""Slurm's own programs, asked by launchers and jobs: the only caller of squeue, sacct, scontrol and scancel."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from valley.errors import UserError

TIMEOUT_S = 60
DEFAULT_ARRAY_SIZE = 1000
RENAME_TIMEOUT_S = 10
CLOCK_SKEW_S = 600

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


TAKEN_AWAY = {"NODE_FAIL", "BOOT_FAIL", "PREEMPTED"}
"""Ends that are no fault of the job."""


@dataclass(frozen=True)
class Task:
    """What Slurm says of one array element. `folder` is its working folder, where it was asked for."""

    state: str
    reason: str
    folder: str = ""
    exit_code: str = ""
    """`code:signal`, which accounting alone tells."""


class NoAnswer(UserError):
    """A program of Slurm's failed or did not answer, so nothing can be said of any job."""


def why_silent() -> str:
    """Why nothing can be submitted to Slurm from here; empty where sbatch and the controller answer.

    Raises:
        UserError: SLURM_CONF names no file, so a cluster is meant that cannot be found.
    """
    if shutil.which("sbatch") is None:
        return "sbatch is not installed"
    configuration = os.environ.get("SLURM_CONF")
    if configuration is not None and not Path(configuration).is_file():
        raise UserError(
            f"SLURM_CONF is {configuration!r}, which is no file here; unset it or name the "
            "cluster's slurm.conf, or launch with --cluster local"
        )
    try:
        done = subprocess.run(
            ["scontrol", "ping"], capture_output=True, text=True, timeout=10, env=environment()
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"scontrol ping: {error}"
    if done.returncode == 0 and "UP" in done.stdout:
        return ""
    said = (done.stderr.strip() or done.stdout.strip() or "no answer").splitlines()[-1]
    return f"the controller does not answer (scontrol ping: {said})"


def environment() -> dict[str, str]:
    """The variables that Slurm's programs are called with.

    Inside a job they would take its SLURM_* and SBATCH_* variables for their own options, and the
    jobs they submit would inherit them. What filters squeue and sacct for their user would hide jobs.
    """
    inside = "SLURM_JOB_ID" in os.environ
    prefixes = ("SQUEUE_", "SACCT_", "SUBMITIT_") + (
        ("SLURM_", "SLURMD_", "SBATCH_", "SRUN_") if inside else ()
    )
    return {
        name: value
        for name, value in os.environ.items()
        if name == "SLURM_CONF" or not name.startswith(prefixes)
    }


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
    # Without --array, which 22.05 does not know: what has not begun is one line, `7_[0-3,5]`.
    command = ["sacct", "--noheader", "--parsable2", "--allocations"]
    command += ["--format=JobID,State,ExitCode", f"--jobs={','.join(ids)}"]
    try:
        text = _call(command)
    except UserError:
        return {}
    tasks = {}
    for line in text.splitlines():
        job, state, exit_code = line.split("|", 2)
        array, _, indices = job.partition("_")
        word = state.split()[0]
        reason = f"exit code {exit_code}" if exit_code != "0:0" else ""
        task = Task(word, reason, exit_code=exit_code)
        tasks.update({(array, index): task for index in indices_of(indices)})
    return tasks


def indices_of(text: str) -> list[int]:
    """What sacct writes behind an array's id: an index, or `[0-3,5%2]` of what has not begun."""
    found: list[int] = []
    for part in text.strip("[]").partition("%")[0].split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            found += range(int(first), int(last or first) + 1)
    return found or [0]


def accounting_by_folder(since: float) -> dict[str, str]:
    """Arrays that accounting remembers, by their working folder: one sacct call; empty without it.

    Args:
        since: in seconds since the epoch; arrays that ended before it are left out.
    """
    if shutil.which("sacct") is None:
        return {}
    start = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(max(0.0, since - CLOCK_SKEW_S)))
    command = ["sacct", "--noheader", "--parsable2", "--allocations", f"--starttime={start}"]
    try:
        text = _call([*command, "--format=JobID,WorkDir"])
    except UserError:
        return {}
    lines = [line.split("|", 1) for line in text.splitlines()]
    return {folder: job.partition("_")[0] for job, folder in sorted(lines)}


def rename(task: str, name: str) -> None:
    """Give a running array element a name of its own, if Slurm lets us.

    Args:
        task: such as `123_4`.
    """
    command = ["scontrol", "update", f"JobId={task}", f"JobName={name}"]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(command, capture_output=True, timeout=RENAME_TIMEOUT_S)


def max_array_size() -> int:
    """The most elements that one array may have: here, or where Slurm is elsewhere, by its default."""
    if why_silent():
        return DEFAULT_ARRAY_SIZE
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", _call(["scontrol", "show", "config"]), re.M)
    return max(1, int(match.group(1)) - 1) if match else DEFAULT_ARRAY_SIZE


@cache
def hostnames(nodelist: str) -> list[str]:
    """The nodes that a list such as `n[1-3,7]` names, in its order; asked once a process."""
    return _call(["scontrol", "show", "hostnames", nodelist]).split()


@cache
def address(node: str) -> str:
    """What a node can be reached by: its name, or where that does not resolve the address Slurm has.

    Asked once a process: a thousand ranks must not ask the controller at each turn.
    """
    try:
        socket.getaddrinfo(node, None)
    except socket.gaierror:
        found = re.search(r"NodeAddr=(\S+)", _call(["scontrol", "show", "node", node]))
        return found.group(1) if found else node
    return node


def elements_name(array: str, indices: Iterable[int]) -> str:
    """Slurm's name of some elements of an array: `123_[0-3,7]`."""
    spans: list[list[int]] = []
    for index in sorted(indices):
        if spans and index == spans[-1][-1] + 1:
            spans[-1] = [spans[-1][0], index]
        else:
            spans.append([index])
    return f"{array}_[{','.join('-'.join(map(str, span)) for span in spans)}]"


def cancel(job_ids: list[str]) -> None:
    """Cancel arrays or elements (`123`, `123_4` or `123_[0-3,7]`)."""
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
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=TIMEOUT_S, env=environment()
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoAnswer(f"{command[0]} did not answer ({error}); is the cluster up?") from error
    if done.returncode:
        raise NoAnswer(
            f"{command[0]} failed with status {done.returncode}: {done.stderr.strip() or 'no message'}"
        )
    return done.stdout
