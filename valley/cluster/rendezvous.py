"""Rendezvous: how the ranks of one training find each other.

A scheduler starts the ranks; this module tells them their numbers and opens the process group that the
trainer expects:

1. Rank 0 opens a store at a port that the kernel picks, so it is never one in use, however many jobs
   share the node, and announces it in a file that is named by the attempt.
2. The others wait for that file, and connect. One that an earlier attempt left has another name.
3. All wait until all have connected. They do so here and not in torch, where a rank that waits hears no
   signal, and then could not say that its time limit came before the others did.
4. When all have joined, rank 0 removes the file.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from valley.cluster import slurm
from valley.processes import process_start
from valley.records import write_json

RENDEZVOUS_SCHEMA = "valley.rendezvous/1"
JOIN_S = 1800.0
"""How long ranks wait for each other: as long as torch's own."""
CONNECT_S = 5.0
POLL_S = 0.05


@dataclass(frozen=True)
class Place:
    """One rank's place among the others."""

    rank: int
    world_size: int
    local_rank: int
    tasks_per_node: int
    first_host: str
    attempt: str
    """What tells this start of the ranks from every other, of this job and of others."""


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
            attempt="-".join(
                env.get(name, "0")
                for name in ("SLURM_JOB_ID", "SLURM_RESTART_COUNT", "SLURM_STEP_ID")
            ),
        )
    tasks = int(env.get("SUBMITIT_LOCAL_NTASKS", "1"))
    rank = int(env.get("SUBMITIT_LOCAL_GLOBALID", "0"))
    # submitit's controller is the parent of all ranks; its number alone may have been another's.
    job_id = env.get("SUBMITIT_LOCAL_JOB_ID", str(os.getpid()))
    attempt = f"{job_id}-{process_start(os.getppid())}"
    return Place(rank, tasks, rank, tasks, "127.0.0.1", attempt)


def join_process_group(where: Place, folder: Path | None = None) -> None:
    """Open the process group of all ranks, NCCL on GPUs and gloo on CPUs, once for the whole process.

    Trainings that share a process share the group, since DeepSpeed keeps hold of the first it sees;
    `leave_process_group` closes it.

    Args:
        folder: one that all ranks see, through which they find each other; a rank alone needs none.

    Raises:
        TimeoutError: a rank found no other within half an hour.
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
    )
    gpu = torch.cuda.is_available()
    if gpu:
        # Rows of ever other lengths would leave holes in its memory that no other row fits into.
        if "PYTORCH_ALLOC_CONF" not in os.environ:
            os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
        torch.cuda.set_device(where.local_rank)
    else:
        os.environ["DS_ACCELERATOR"] = "cpu"
    note = None
    if where.world_size == 1:
        store = dist.HashStore()  # type: ignore[attr-defined]
    elif folder is None:
        raise ValueError("several ranks need a folder to find each other through")
    else:
        note = folder / f"rendezvous-{where.attempt}.json"
        store = open_store(where, note)
        wait_for_all(store, where.world_size)
        os.environ.update(MASTER_ADDR=where.first_host, MASTER_PORT=str(store.port))
    dist.init_process_group(
        "nccl" if gpu else "gloo",
        store=store,
        rank=where.rank,
        world_size=where.world_size,
    )
    if note is not None:
        # Opening a group of NCCL waits for nobody, and who comes later has yet to read the note.
        dist.barrier()
        if where.rank == 0:
            note.unlink(missing_ok=True)


def open_store(where: Place, note: Path, wait_s: float = JOIN_S) -> Any:
    """The store of all ranks: rank 0 serves it, and says in `note` where; the others connect.

    Raises:
        TimeoutError: rank 0 has not said so, or was not to be reached, after `wait_s`.
    """
    import torch.distributed as dist

    ranks, until = where.world_size, timedelta(seconds=wait_s)
    if where.rank == 0:
        store = _tcp_store(where.first_host, 0, ranks, True, until)
        at = {"schema": RENDEZVOUS_SCHEMA, "address": where.first_host, "port": store.port}
        write_json(note, at)
        return store
    deadline = time.monotonic() + wait_s
    soon = timedelta(seconds=min(wait_s, CONNECT_S))
    while True:
        address, port = _announced(note, deadline)
        try:
            store = _tcp_store(address, port, ranks, False, soon)
        except dist.DistError as error:
            if time.monotonic() > deadline:
                raise TimeoutError(f"Connection timed out: {address}:{port}: {error}") from error
        else:
            store.set_timeout(until)
            return store


def wait_for_all(store: Any, ranks: int, wait_s: float = JOIN_S) -> None:
    """Return when so many ranks, each of which calls this once, have connected to a store.

    Raises:
        TimeoutError: they have not after `wait_s`.
    """
    deadline = time.monotonic() + wait_s
    come = store.add("valley/come", 1)
    while come < ranks:
        if time.monotonic() > deadline:
            raise TimeoutError(f"Connection timed out: {come} of {ranks} ranks have come")
        time.sleep(POLL_S)
        come = store.add("valley/come", 0)


def _tcp_store(address: str, port: int, ranks: int, serves: bool, timeout: timedelta) -> Any:
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    return TCPStore(address, port, ranks, serves, timeout, wait_for_workers=False)


def _announced(note: Path, deadline: float) -> tuple[str, int]:
    """Where rank 0 says that its store is, as soon as it says so."""
    while time.monotonic() < deadline:
        # Listing the folder makes a network file system look again for a file that was not there.
        if note.name in os.listdir(note.parent):
            said = json.loads(note.read_text(encoding="utf-8"))
            return said["address"], said["port"]
        time.sleep(POLL_S)
    raise TimeoutError(f"Connection timed out: rank 0 has not opened a port ({note} is not there)")


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
