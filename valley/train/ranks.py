"""Ranks: what those of one training tell each other, beside tensors."""

from __future__ import annotations

from typing import Any, TypeVar

T = TypeVar("T")


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
