"""Batches: which documents every rank sees at every optimizer step.

1. Epoch after epoch, the documents are shuffled by the seed.
2. The stream is cut into global batches of `batch_size` documents, across epoch borders.
3. A global batch is sorted by length, so that rows padded together are alike.
4. It is split into `world size x accumulation` micro-batches of nearly equal count.
5. Each rank takes its own; every rank knows the whole batch, so the number of response tokens in it
   needs no communication.

The global batches, and so the training, are the same for any number of ranks.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from valley.data.render import Document
from valley.errors import UserError


@dataclass(frozen=True)
class Batch:
    """One rank's share of an optimizer step."""

    micro_batches: list[list[Document]]
    response_tokens: int
    """Tokens that the loss is the mean of: over all ranks and micro-batches."""
    tokens: int
    """All tokens of the global batch, prompts included, padding not."""


def accumulation(batch_size: int, micro_batch_size: int, world_size: int) -> int:
    """Micro-batches per rank and step, so that none is larger than `micro_batch_size`.

    Raises:
        UserError: there are more micro-batches than documents to put in them.
    """
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
) -> Iterator[Batch]:
    """Yield this rank's share of every optimizer step from `begin` on, counted from 0."""
    pieces = accumulation(batch_size, micro_batch_size, world_size) * world_size
    stream = _stream(documents, seed)
    for _ in range(begin * batch_size):
        next(stream)
    for _ in range(begin, steps):
        whole = sorted((next(stream) for _ in range(batch_size)), key=lambda d: len(d.tokens))
        # Ranks take every world_size-th piece, so that none gets all the long ones.
        edges = [round(i * batch_size / pieces) for i in range(pieces + 1)]
        yield Batch(
            micro_batches=[whole[edges[i] : edges[i + 1]] for i in range(rank, pieces, world_size)],
            response_tokens=sum(document.response_tokens for document in whole),
            tokens=sum(len(document.tokens) for document in whole),
        )


def _stream(documents: Sequence[Document], seed: int) -> Iterator[Document]:
    epoch = 0
    while True:
        order = list(range(len(documents)))
        random.Random(f"valley.pack/1:{seed}:{epoch}").shuffle(order)
        yield from (documents[index] for index in order)
        epoch += 1
