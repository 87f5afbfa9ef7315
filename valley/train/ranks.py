"""Ranks: what those of one training tell each other, beside tensors."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, TypeVar

T = TypeVar("T")
NEVER = timedelta(days=365)


def wait_for_one_another() -> None:
    """Let no collective operation give up, of any group that this rank is in.

    Left to itself NCCL gives up after ten minutes and gloo after thirty, DeepSpeed's own groups too: before
    a watchdog that was set to more has written where each rank stands, and also where all of them were
    suspended meanwhile. Who is stuck the watchdog ends, and who has lost a rank whoever started it.
    """
    from torch.distributed import distributed_c10d as c10d

    for group in list(c10d._world.pg_map):
        c10d._set_pg_timeout(NEVER, group)


def from_first(value: T) -> T:
    """Rank 0's value, in every rank."""
    import torch.distributed as dist

    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def of_all(value: T) -> list[T]:
    """Every rank's value, by rank, in every rank."""
    import torch.distributed as dist

    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values
