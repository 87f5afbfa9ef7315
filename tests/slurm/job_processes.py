"""The processes of one virtual node's jobs, so that they can be ended without Slurm's help."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path


def kill_jobs(node: str, slurm_conf: Path, spool: Path) -> None:
    """Kill the processes of a node's jobs, until none is left that could have forked another.

    The node's slurmd must have ended; `spool` was its working folder, `slurm_conf` its settings.
    The step daemons go first: one that sees its task die would still tell the controller.
    """
    while pids := job_processes(node, slurm_conf, spool):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def job_processes(node: str, slurm_conf: Path, spool: Path) -> list[int]:
    """Pids of a node's job processes, the step daemons first; zombies don't count.

    They are its slurmstepds, which belong to init and hide their environment but keep slurmd's
    working folder; processes with a job's environment, which a task may have left behind; and the
    children of both.
    """
    job_variables = {f"SLURM_CONF={slurm_conf}".encode(), f"SLURMD_NODENAME={node}".encode()}
    parents: dict[int, int] = {}
    step_daemons: set[int] = set()
    left_behind: set[int] = set()
    for process in Path("/proc").glob("[0-9]*"):
        # A process that has just ended or that root may not look into (in a container) isn't ours.
        with contextlib.suppress(OSError):
            state, parent = (process / "stat").read_text().rpartition(")")[2].split()[:2]
            if state == "Z":
                continue
            pid = int(process.name)
            parents[pid] = int(parent)
            if (process / "cwd").readlink() == spool:
                step_daemons.add(pid)
            elif job_variables <= set((process / "environ").read_bytes().split(b"\0")):
                left_behind.add(pid)
    found = step_daemons | left_behind
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return [*step_daemons, *(found - step_daemons)]
