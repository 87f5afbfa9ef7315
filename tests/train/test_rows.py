"""Rows hold every token once, and labels never cross from one document to the next."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from valley.data.render import Document
from valley.train.rows import IGNORED, rows_of

DOCUMENTS = st.lists(
    st.lists(st.integers(1, 50), min_size=2, max_size=8).flatmap(
        lambda tokens: st.builds(Document, st.just(tokens), st.integers(1, len(tokens) - 1))
    ),
    min_size=1,
    max_size=6,
)


@settings(deadline=None, max_examples=60)
@given(documents=DOCUMENTS, by_sequence=st.booleans())
def test_packed_and_padded_rows_learn_the_same(documents, by_sequence):
    packed = rows_of(documents, packed=True, by_sequence=by_sequence)
    padded = rows_of(documents, packed=False, by_sequence=by_sequence)
    lengths = [len(d.tokens) for d in documents]
    assert packed.positions == sum(lengths)
    assert padded.positions == max(lengths) * len(documents)
    assert packed.tokens[0].tolist() == [t for d in documents for t in d.tokens]
    learnt = [t for d in documents for t in d.tokens[d.prompt_tokens :]]
    for rows in (packed, padded):
        assert rows.labels[rows.labels != IGNORED].tolist() == learnt
    if by_sequence:
        found = packed.weights[packed.labels != IGNORED]
        torch.testing.assert_close(found, padded.weights[padded.labels != IGNORED])
        torch.testing.assert_close(found.sum(), torch.tensor(float(len(documents))))


def test_positions_and_bounds_begin_again_with_each_document():
    rows = rows_of([Document([7, 8, 9], 1), Document([5, 6], 1)], packed=True)
    assert rows.tokens.tolist() == [[7, 8, 9, 5, 6]]
    assert rows.labels.tolist() == [[8, 9, IGNORED, 6, IGNORED]]
    assert rows.options["position_ids"].tolist() == [[0, 1, 2, 0, 1]]
    assert rows.options["cu_seq_lens_q"].tolist() == [0, 3, 5]
    assert rows.options["max_length_q"] == 3
