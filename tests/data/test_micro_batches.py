from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valley.data.bins import pack
from valley.data.micro_batches import by_count, by_tokens
from valley.errors import UserError


@settings(deadline=None)
@given(
    world=st.sampled_from([1, 2, 3, 8]),
    per_rank=st.integers(1, 12),
    most=st.integers(8, 200),
    data=st.data(),
)
def test_groups_by_tokens_hold_no_more_and_each_document_once(world, per_rank, most, data):
    count = world * per_rank
    lengths = data.draw(st.lists(st.integers(1, 150), min_size=count, max_size=count))
    groups = by_tokens(lengths, most, world)
    assert sorted(i for group in groups for i in group) == list(range(count))
    assert len(groups) % world == 0 and all(groups)
    held = [sum(lengths[i] for i in group) for group in groups]
    assert held == sorted(held)
    # A document is never cut, so one that is longer is alone.
    assert all(t <= most or len(group) == 1 for t, group in zip(held, groups, strict=True))
    # Fewer groups than rows packed as well as can be, rounded up to the ranks, there cannot be.
    assert len(groups) >= len(pack(lengths, most))
    assert groups == by_tokens(list(lengths), most, world)


def test_groups_are_few_and_nearly_equal():
    lengths = [100] * 4 + [50] * 8 + [10] * 20
    groups = by_tokens(lengths, 260, 2)
    assert [sum(lengths[i] for i in group) for group in groups] == [250] * 4


def test_a_document_too_long_for_a_row_is_alone():
    groups = by_tokens([300, 20, 20, 20], 60, 1)
    assert groups == [[1, 2, 3], [0]]


def test_ranks_that_do_not_divide_the_step_are_refused():
    with pytest.raises(
        UserError, match=r"batch_size 6 cannot be shared evenly by 4 ranks.*use micro"
    ):
        by_tokens([5] * 6, 100, 4)


def test_groups_by_count_are_neighbours_of_nearly_equal_count():
    assert by_count(7, 3) == [[0, 1], [2, 3, 4], [5, 6]]
