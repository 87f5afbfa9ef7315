from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valley.data.bins import Spread, pack, packing_report
from valley.errors import UserError

LENGTHS = st.lists(st.integers(1, 60), max_size=60)
CAPACITY = st.integers(1, 50)


def plain_best_fit_decreasing(lengths, capacity):
    """How many bins the textbook's algorithm opens: every bin is looked at for every document."""
    rooms = []
    for length in sorted(lengths, reverse=True):
        fitting = [i for i, room in enumerate(rooms) if room >= length]
        if fitting:
            rooms[min(fitting, key=rooms.__getitem__)] -= length
        else:
            rooms.append(max(capacity, length) - length)
    return len(rooms)


@given(LENGTHS, CAPACITY, st.integers(0, 3), st.integers(0, 3))
def test_every_document_is_whole_in_one_bin_and_bins_hold_no_more_than_a_row(
    lengths, capacity, seed, epoch
):
    bins = pack(lengths, capacity, seed, epoch)
    assert sorted(i for packed in bins for i in packed) == list(range(len(lengths)))
    for packed in bins:
        tokens = sum(lengths[i] for i in packed)
        assert packed and (tokens <= capacity or len(packed) == 1)
    assert bins == pack(lengths, capacity, seed, epoch)


@given(LENGTHS, CAPACITY, st.integers(0, 3))
def test_there_are_as_many_bins_as_best_fit_decreasing_opens(lengths, capacity, seed):
    assert len(pack(lengths, capacity, seed)) == plain_best_fit_decreasing(lengths, capacity)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.permutations(range(60)))
def test_the_number_of_bins_does_not_depend_on_the_order_of_the_documents(lengths, order):
    shuffled = [lengths[i] for i in order if i < len(lengths)]
    assert len(pack(lengths, 50)) == len(pack(shuffled, 50))


@given(st.lists(st.integers(1, 60), min_size=1, max_size=60), CAPACITY, st.integers(1, 5))
def test_the_report_counts_every_token_and_document(lengths, capacity, bins_per_step):
    bins = pack(lengths, capacity)
    report = packing_report(lengths, bins, capacity, bins_per_step)
    assert (report.documents, report.tokens) == (len(lengths), sum(lengths))
    assert report.longer_than_a_row == sum(length > capacity for length in lengths)
    assert 0 < report.fill <= 1
    assert report.tokens_per_step.mean * report.steps == pytest.approx(report.tokens)
    assert report.documents_per_step.mean * report.steps == pytest.approx(report.documents)


def test_epochs_and_seeds_order_the_bins_anew_and_mix_equal_lengths():
    lengths = [7, 3] * 20
    made = {
        (seed, epoch): pack(lengths, 10, seed, epoch) for seed in range(2) for epoch in range(2)
    }
    assert len({str(bins) for bins in made.values()}) == 4
    companies = {str(sorted(map(sorted, bins))) for bins in made.values()}
    assert len(companies) == 4
    assert all(len(bins) == 20 for bins in made.values())


def test_bins_are_pinned():
    """The same on every machine and Python version."""
    assert pack([5, 9, 3, 3, 12, 1], 10, seed=1) == [[1, 5], [0, 3], [4], [2]]


def test_a_report_by_hand():
    report = packing_report([6, 4, 5, 20], [[0, 1], [2], [3]], capacity=10, bins_per_step=2)
    assert (report.documents, report.tokens, report.bins, report.steps) == (4, 35, 3, 2)
    assert report.fill == 35 / 40 and report.longer_than_a_row == 1
    assert report.tokens_per_step == Spread(15, 17.5, 20)
    assert report.documents_per_step == Spread(1, 2, 3)


TRL = [
    # seed, documents, mean and deviation of the lengths' logarithm (None: they are evenly spread),
    # tokens of a row and of all, trl's rows in batches of 1,000 and in one batch
    (0, 2000, (7.3, 0.7), 4096, 3_545_814, 870, 869),
    (1, 1000, (9.3, 0.7), 32768, 12_857_119, 394, 394),
    (2, 1500, None, 1024, 760_121, 753, 748),
]
"""What `trl.pack_dataset(…, "bfd")` of trl 1.16.0 made of lengths that this test makes anew."""


@pytest.mark.parametrize(
    ("seed", "count", "logarithm", "capacity", "tokens", "in_thousands", "whole"), TRL
)
def test_rows_are_as_full_as_trls(seed, count, logarithm, capacity, tokens, in_thousands, whole):
    draw = random.Random(seed)
    lengths = [
        min(capacity, 1 + int(draw.lognormvariate(*logarithm)))
        if logarithm
        else draw.randint(1, capacity)
        for _ in range(count)
    ]
    assert sum(lengths) == tokens, "other lengths than those that trl was given"
    bins = pack(lengths, capacity)
    assert len(bins) <= whole <= in_thousands
    report = packing_report(lengths, bins, capacity, bins_per_step=8)
    assert report.fill >= tokens / (whole * capacity)


def test_thirty_thousand_lengths_take_well_under_a_second(cpu_s):
    draw = random.Random(0)
    lengths = [min(32768, int(draw.lognormvariate(9.3, 0.7)) + 1) for _ in range(30_000)]
    times = []
    for _ in range(3):
        began = cpu_s()
        pack(lengths, 32768)
        times.append(cpu_s() - began)
    assert min(times) < 1


@pytest.mark.parametrize(("lengths", "capacity"), [([3, 0], 10), ([3], 0)])
def test_no_room_and_no_tokens_are_refused(lengths, capacity):
    with pytest.raises(UserError, match="expected 1 or more of both"):
        pack(lengths, capacity)


def test_nothing_is_packed_into_nothing():
    assert pack([], 10) == []
