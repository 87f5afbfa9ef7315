"""Batches: which documents every rank sees at every optimizer step.

1. Epoch after epoch, the documents are shuffled by the seed; or, where the epoch is packed, laid into
   rows (see `bins.py`). What follows calls either an item: a document, or a row of several.
2. The stream is cut into global batches of `batch_size` items, across epoch borders.
3. A global batch is sorted by length, so that items computed together are alike.
4. It is split into micro-batches, equally many for each rank (see `micro_batches.py`).
5. Each rank takes its own; every rank knows the whole batch, so the numbers of tokens and documents in
   it need no communication, and are exact.

The global batches, and so the training, are the same for any number of ranks.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from valley.data.bins import pack
from valley.data.micro_batches import by_count, by_tokens, check_even
from valley.data.render import Document
from valley.errors import UserError


@dataclass(frozen=True)
class Batch:
    """One rank's share of an optimizer step."""

    micro_batches: list[list[Document]]
    lengths: list[int]
    """Tokens of every document of the global batch, prompts included, padding not."""
    response_tokens: int
    """Those of all ranks and micro-batches that a loss is taken of."""

    @property
    def documents(self) -> int:
        """Documents of the global batch."""
        return len(self.lengths)

    @property
    def tokens(self) -> int:
        """All tokens of the global batch."""
        return sum(self.lengths)


VARYING = 2
"""Says that a step may have several micro-batches, where their number differs from step to step."""


def accumulation(
    batch_size: int,
    micro_batch_size: int,
    world_size: int,
    micro_batch_tokens: int | None = None,
) -> int:
    """Micro-batches per rank and step, so that none is larger than `micro_batch_size`.

    Returns:
        `VARYING` where they are split by tokens.

    Raises:
        UserError: the batch cannot be shared out among the ranks.
    """
    if micro_batch_tokens is not None:
        check_even(batch_size, world_size)
        return VARYING
    steps = -(-batch_size // (micro_batch_size * world_size))
    if steps * world_size > batch_size:
        raise UserError(
            f"train.batch_size {batch_size} cannot feed {world_size} ranks x {steps} micro-batches of "
            "at least one example; raise batch_size or use fewer ranks"
        )
    return steps


def batches(
    documents: Sequence[Document],
    *,
    steps: int,
    batch_size: int,
    micro_batch_size: int,
    seed: int,
    rank: int = 0,
    world_size: int = 1,
    begin: int = 0,
    row_tokens: int | None = None,
    micro_batch_tokens: int | None = None,
) -> Iterator[Batch]:
    """Yield this rank's share of every optimizer step from `begin` on, counted from 0.

    Args:
        row_tokens: pack the epoch into rows of so many tokens, and let `batch_size` and
            `micro_batch_size` count rows; None counts documents.
        micro_batch_tokens: tokens of a micro-batch, in place of `micro_batch_size` documents.

    Raises:
        UserError: there is no document, or see `accumulation`.
    """
    if not documents:
        raise UserError("there is no document to make batches of")
    passes = accumulation(batch_size, micro_batch_size, world_size, micro_batch_tokens) * world_size
    stream = _stream(documents, seed, row_tokens, begin * batch_size)
    for _ in range(begin, steps):
        items = [[documents[i] for i in next(stream)] for _ in range(batch_size)]
        items.sort(key=_tokens)
        if micro_batch_tokens is None:
            groups = by_count(batch_size, passes)
        else:
            groups = by_tokens(list(map(_tokens, items)), micro_batch_tokens, world_size)
        # Ranks take every world_size-th, so that none gets all the long ones.
        share = groups[rank::world_size]
        yield Batch(
            micro_batches=[[d for i in group for d in items[i]] for group in share],
            lengths=[len(document.tokens) for item in items for document in item],
            response_tokens=sum(d.response_tokens for item in items for d in item),
        )


def row_count(documents: Sequence[Document], row_tokens: int) -> int:
    """The rows that an epoch is packed into; the same for every seed and epoch."""
    return len(pack([len(document.tokens) for document in documents], row_tokens))


def _tokens(item: list[Document]) -> int:
    return sum(len(document.tokens) for document in item)


def _stream(
    documents: Sequence[Document], seed: int, row_tokens: int | None, skip: int
) -> Iterator[list[int]]:
    """The items from number `skip` on, as indices of documents."""
    lengths = None if row_tokens is None else [len(document.tokens) for document in documents]
    epoch = 0
    while True:
        order: list[list[int]]
        if lengths is None or row_tokens is None:
            indices = list(range(len(documents)))
            random.Random(f"valley.pack/1:{seed}:{epoch}").shuffle(indices)
            order = [[index] for index in indices]
        else:
            order = pack(lengths, row_tokens, seed, epoch)
        yield from order[skip:]
        skip = max(0, skip - len(order))
        epoch += 1
