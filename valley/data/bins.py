"""Bins: documents packed into rows of a fixed number of tokens, over a whole epoch at once.

Best-fit decreasing: the longest document first, each into the bin with the least room that still holds
it. Documents are never split or cut. One that is longer than a row has a bin of its own.

1. The epoch's documents are shuffled by the seed, then sorted by length, so that which of several equally
   long ones share a bin changes from epoch to epoch.
2. They are packed. How many bins there are depends on the lengths only.
3. The bins are shuffled, so that an optimizer step sees short and long documents alike.
"""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass

from valley.errors import UserError

Bin = list[int]
"""Indices of the documents of a row."""


def pack(lengths: Sequence[int], capacity: int, seed: int = 0, epoch: int = 0) -> list[Bin]:
    """Pack documents into bins, the same for the same arguments on any machine.

    Args:
        lengths: tokens of each document, by its index.
        capacity: tokens of a row.

    Returns:
        Bins in the order in which they are trained on; every index is in one of them.

    Raises:
        UserError: a capacity or a length below 1.
    """
    lengths = list(map(int, lengths))
    if capacity < 1 or min(lengths, default=1) < 1:
        raise UserError(
            f"rows of {capacity} tokens for documents of {min(lengths, default=0)} or more: "
            "expected 1 or more of both"
        )
    draw = random.Random(f"valley.bins/1:{seed}:{epoch}")
    order = list(range(len(lengths)))
    draw.shuffle(order)
    order.sort(key=lengths.__getitem__, reverse=True)
    bins = _best_fit(order, lengths, capacity)
    draw.shuffle(bins)
    return bins


def _best_fit(order: list[int], lengths: list[int], capacity: int) -> list[Bin]:
    bins: list[Bin] = []
    rooms: list[int] = []  # the distinct rooms that bins have left, ascending
    with_room: dict[int, list[Bin]] = {}
    for index in order:
        length = lengths[index]
        at = bisect_left(rooms, length)
        if at == len(rooms):
            chosen: Bin = []
            bins.append(chosen)
            room = max(capacity, length)
        else:
            room = rooms[at]
            same = with_room[room]
            chosen = same.pop()
            if not same:
                del with_room[room], rooms[at]
        chosen.append(index)
        if left := room - length:
            if left not in with_room:
                with_room[left] = []
                insort(rooms, left)
            with_room[left].append(chosen)
    return bins


@dataclass(frozen=True)
class Spread:
    """The least, the mean and the most of something."""

    least: float
    mean: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of one value or more."""
        return cls(min(values), sum(values) / len(values), max(values))


@dataclass(frozen=True)
class PackingReport:
    """What packing makes of an epoch. It changes the effective batch: a step holds rows, not examples."""

    documents: int
    tokens: int
    bins: int
    fill: float
    """The share of the rows' tokens that are documents' and not padding."""
    longer_than_a_row: int
    """Documents that have a bin of their own and more tokens than it was to have."""
    steps: int
    """Optimizer steps of the epoch; the last may be short."""
    tokens_per_step: Spread
    documents_per_step: Spread


def packing_report(
    lengths: Sequence[int], bins: Sequence[Bin], capacity: int, bins_per_step: int
) -> PackingReport:
    """Report on packed documents, of which there is at least one."""
    used = [sum(int(lengths[i]) for i in packed) for packed in bins]
    starts = range(0, len(bins), bins_per_step)
    return PackingReport(
        documents=sum(map(len, bins)),
        tokens=sum(used),
        bins=len(bins),
        fill=sum(used) / sum(max(capacity, tokens) for tokens in used),
        longer_than_a_row=sum(tokens > capacity for tokens in used),
        steps=len(starts),
        tokens_per_step=Spread.of([sum(used[i : i + bins_per_step]) for i in starts]),
        documents_per_step=Spread.of([sum(map(len, bins[i : i + bins_per_step])) for i in starts]),
    )
