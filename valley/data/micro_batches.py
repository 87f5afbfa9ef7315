"""Micro-batches: how the documents of an optimizer step are shared out among ranks and forward passes.

| shared | each holds | passes |
|---|---|---|
| by count | nearly as many items as any other | as many in every step |
| by tokens | at most so many tokens | as few as hold them, which differs from step to step |

All ranks have equally many passes, since they meet in each. By either, passes that ranks do at the same time
are alike: they are sorted by what they hold, and neighbours go to different ranks.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from valley.data.bins import pack
from valley.errors import UserError

Group = list[int]
"""Indices of the documents of a micro-batch."""


def by_count(items: int, groups: int) -> list[Group]:
    """Split items that are sorted by length into so many groups of neighbours, of nearly equal count."""
    edges = [round(i * items / groups) for i in range(groups + 1)]
    return [list(range(edges[i], edges[i + 1])) for i in range(groups)]


def by_tokens(lengths: Sequence[int], most: int, world_size: int) -> list[Group]:
    """Group documents so that none holds more than `most` tokens, but for a single longer document.

    Their number is a multiple of the ranks', the least for which sharing out by longest processing time
    (Graham, 1969: the longest document first, each to the group with the fewest tokens) finds room. So
    groups are nearly equal in tokens.

    Args:
        lengths: tokens of each document; their number is a multiple of `world_size`.

    Returns:
        Groups by rising tokens.

    Raises:
        UserError: the documents cannot be shared evenly, or `most` is below 1.
    """
    check_even(len(lengths), world_size)
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    rows = len(pack(lengths, most))
    count = -(-rows // world_size) * world_size
    # It ends with a document in each group at the latest.
    held = _longest_first(order, lengths, count)
    while any(tokens > most and len(group) > 1 for tokens, group in held):
        count += world_size
        held = _longest_first(order, lengths, count)
    return [group for _, group in sorted(held)]


def check_even(batch_size: int, world_size: int) -> None:
    """Refuse a step that cannot be shared out by tokens among any number of passes.

    Raises:
        UserError: the ranks do not divide it.
    """
    if batch_size % world_size:
        raise UserError(
            f"train.batch_size {batch_size} cannot be shared evenly by {world_size} ranks, as "
            "train.micro_batch_tokens needs it; make it a multiple of the ranks, or use "
            "micro_batch_size instead"
        )


def _longest_first(order: list[int], lengths: Sequence[int], count: int) -> list[tuple[int, Group]]:
    """So many groups, each with its tokens."""
    groups: list[Group] = [[] for _ in range(count)]
    heap = [(0, number) for number in range(count)]
    for index in order:
        tokens, number = heap[0]
        groups[number].append(index)
        heapq.heapreplace(heap, (tokens + lengths[index], number))
    return [(tokens, groups[number]) for tokens, number in heap]
