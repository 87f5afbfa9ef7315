"""Rendezvous: how the ranks of one training find each other.

A scheduler starts the ranks; this module tells them their numbers, an address and a port, and opens the
process group that the trainer expects.
"""

from __future__ import annotations

import hashlib
import os
import sys
from dataclasses import dataclass
from typing import Any

from valley.cluster import slurm


@dataclass(frozen=True)
class Place:
    """One rank's place among the others."""

    rank: int
    world_size: int
    local_rank: int
    tasks_per_node: int
    first_host: str
    job_id: str


def place() -> Place:
    """This process's place, from the scheduler's environment; the only rank where there is none."""
    env = os.environ
    if "SLURM_PROCID" in env and "SLURM_JOB_ID" in env and env.get("SUBMITIT_EXECUTOR") == "slurm":
        hosts = slurm.hostnames(env["SLURM_JOB_NODELIST"])
        tasks = int(env["SLURM_NTASKS"])
        return Place(
            rank=int(env["SLURM_PROCID"]),
            world_size=tasks,
            local_rank=int(env["SLURM_LOCALID"]),
            tasks_per_node=max(1, tasks // len(hosts)),
            first_host=slurm.address(hosts[0]),
            job_id=env["SLURM_JOB_ID"],
        )
    tasks = int(env.get("SUBMITIT_LOCAL_NTASKS", "1"))
    rank = int(env.get("SUBMITIT_LOCAL_GLOBALID", "0"))
    job_id = env.get("SUBMITIT_LOCAL_JOB_ID", str(os.getpid()))
    return Place(rank, tasks, rank, tasks, "127.0.0.1", job_id)


def join_process_group(where: Place) -> None:
    """Open the process group of all ranks, NCCL on GPUs and gloo on CPUs, once for the whole process.

    Trainings that share a process share the group, since DeepSpeed keeps hold of the first it sees;
    `leave_process_group` closes it.
    """
    import torch
    import torch.distributed as dist

    if dist.is_initialized():
        return
    os.environ.update(
        RANK=str(where.rank),
        WORLD_SIZE=str(where.world_size),
        LOCAL_RANK=str(where.local_rank),
        LOCAL_SIZE=str(where.tasks_per_node),
        MASTER_ADDR=where.first_host,
        MASTER_PORT=str(port(where.job_id)),
    )
    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(where.local_rank)
    else:
        os.environ["DS_ACCELERATOR"] = "cpu"
    backend = "nccl" if gpu else "gloo"
    if where.world_size == 1:
        # Alone, a rank needs no port, so that any number of jobs can share a machine.
        store = dist.HashStore()  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=store, rank=0, world_size=1)
    else:
        dist.init_process_group(backend, init_method="env://")


def said_by_any(word: str) -> set[str]:
    """What the ranks say, each of which must call this; only this one's word where no group is open."""
    if "torch" not in sys.modules:
        return {word}
    import torch.distributed as dist

    if not dist.is_initialized():
        return {word}
    words: list[Any] = [""] * dist.get_world_size()
    dist.all_gather_object(words, word)
    return set(words)


def leave_process_group() -> None:
    """Close the process group, if one is open, when every rank has come to its end.

    A rank that ended while another still had the group open was seen to abort the other ("terminate
    called without an active exception"), after all work was done.
    """
    if "torch" not in sys.modules:
        return
    import torch.distributed as dist

    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


def port(job_id: str) -> int:
    """A port that the ranks of one job agree on and other jobs on the node are unlikely to share."""
    number = int.from_bytes(hashlib.sha256(job_id.encode()).digest()[:4], "big")
    # Below the range that Linux hands out to clients (from 32768).
    return 20000 + number % 12000
