from __future__ import annotations

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valley.data.pack import accumulation, batches
from valley.data.render import Document
from valley.errors import UserError


def documents(count: int) -> list[Document]:
    return [Document([*range(3 + 7 * i % 11), i], 2) for i in range(count)]


@settings(deadline=None)
@given(
    count=st.integers(1, 30),
    batch_size=st.integers(4, 16),
    micro=st.integers(1, 16),
    world=st.sampled_from([1, 2, 4]),
    steps=st.integers(1, 8),
    seed=st.integers(0, 3),
)
def test_ranks_share_the_batches_of_one_rank(count, batch_size, micro, world, steps, seed):
    docs = documents(count)
    options = {"steps": steps, "batch_size": batch_size, "seed": seed}
    alone = list(batches(docs, micro_batch_size=batch_size, **options))
    try:
        pieces = accumulation(batch_size, micro, world)
    except UserError:
        return
    ranks = [
        list(batches(docs, micro_batch_size=micro, rank=r, world_size=world, **options))
        for r in range(world)
    ]
    for step, whole in enumerate(alone):
        shares = [rank[step] for rank in ranks]
        together = [d for share in shares for m in share.micro_batches for d in m]
        assert Counter(map(id, together)) == Counter(map(id, whole.micro_batches[0]))
        assert {share.response_tokens for share in shares} == {whole.response_tokens}
        assert whole.response_tokens == sum(d.response_tokens for d in together)
        # Every rank must call the engine equally often, or the ranks would wait for each other.
        assert {len(share.micro_batches) for share in shares} == {pieces}
        assert all(0 < len(m) <= max(micro, 1) for share in shares for m in share.micro_batches)


def test_shared_by_tokens_the_ranks_do_the_same_steps():
    docs = documents(24)
    options = {"steps": 5, "batch_size": 8, "micro_batch_size": 8, "seed": 2}
    counts = set()
    ranks = [
        list(batches(docs, **options, rank=r, world_size=2, micro_batch_tokens=18))
        for r in range(2)
    ]
    for whole, *shares in zip(batches(docs, **options), *ranks, strict=True):
        together = [d for share in shares for m in share.micro_batches for d in m]
        assert Counter(map(id, together)) == Counter(map(id, whole.micro_batches[0]))
        assert {share.response_tokens for share in shares} == {whole.response_tokens}
        (passes,) = {len(share.micro_batches) for share in shares}
        counts.add(passes)
        assert all(sum(len(d.tokens) for d in m) <= 18 for s in shares for m in s.micro_batches)
    assert len(counts) > 1  # or the steps were too alike to show anything


def test_every_epoch_holds_every_document_once():
    docs = documents(10)
    stream = batches(docs, steps=6, batch_size=5, micro_batch_size=5, seed=0)
    seen = [d for batch in stream for m in batch.micro_batches for d in m]
    epochs = [seen[i : i + 10] for i in range(0, 30, 10)]
    for epoch in epochs:
        assert sorted(d.tokens[-1] for d in epoch) == list(range(10))
    assert epochs[0] != epochs[1]


def test_batches_run_on_across_epochs():
    docs = documents(3)
    sizes = [
        sum(map(len, b.micro_batches))
        for b in itertools.islice(
            batches(docs, steps=4, batch_size=8, micro_batch_size=4, seed=1), 4
        )
    ]
    assert sizes == [8, 8, 8, 8]


def test_a_batch_too_small_for_the_ranks_is_refused():
    with pytest.raises(UserError, match="batch_size 3 cannot feed 4 ranks"):
        accumulation(3, 1, 4)
    with pytest.raises(UserError, match="batch_size 6 cannot be shared evenly by 4 ranks"):
        accumulation(6, 1, 4, 64)


def test_of_no_documents_there_are_no_batches():
    with pytest.raises(UserError, match="no document"):
        next(batches([], steps=1, batch_size=2, micro_batch_size=2, seed=0))
