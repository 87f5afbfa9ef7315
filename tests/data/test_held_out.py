"""Held-out traces: no training set within its room shares a problem with them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pools import Row, index_of, pools
from test_select import ARMS, CONTROLS, arm

from valley.data import held_out
from valley.data.held_out import held_out_rows, room
from valley.data.select import draw, order
from valley.errors import UserError


def kept_index(rows):
    """An index all of whose texts stand somewhere."""
    index = index_of(rows)
    for row in range(len(index)):
        index.place(row, row, 1)
    return index


@settings(deadline=None)
@given(
    rows=pools(),
    names=ARMS,
    controls=CONTROLS,
    seed=st.integers(0, 3),
    traces=st.integers(2, 5),
    data=st.data(),
)
def test_sets_within_the_room_share_no_problem_with_what_is_held_out(
    rows, names, controls, seed, traces, data
):
    index, of = kept_index(rows), arm(*names, **controls)
    config = {"traces": traces, "unit": of.select.unit, "data_seed": seed}
    try:
        held = held_out_rows(index, config)
    except UserError:
        assert len({row.problem for row in rows}) <= traces
        return
    problems = index.problem.codes
    barred = set(problems[held].tolist())
    assert len(barred) == len(held) == traces
    most = held_out._room(index, of, seed, config)
    size = data.draw(st.integers(0, most))
    assert not barred & set(problems[draw(index, of, size, seed)].tolist())
    # And the room is no smaller than it must be.
    if most < order(index, of, seed).size:
        assert barred & set(problems[draw(index, of, most + 1, seed)].tolist())


@given(count=st.integers(4, 60), traces=st.integers(2, 3), seed=st.integers(0, 5))
def test_of_a_trace_per_problem_the_last_of_the_order_are_held_out(count, traces, seed):
    index = kept_index([Row(f"t{i}", f"p{i}") for i in range(count)])
    for unit in ("trace", "problem"):
        config = {"traces": traces, "unit": unit, "data_seed": seed}
        of = arm(unit=unit)
        held = held_out_rows(index, config)
        assert held.tolist() == order(index, of, seed).rows[-traces:].tolist()
        assert held_out._room(index, of, seed, config) == count - traces


def test_rows_that_are_added_do_not_depend_on_the_order_of_the_file():
    rows = [Row(f"t{i}", f"p{i % 17}") for i in range(60)]
    shuffled = [rows[i] for i in np.random.default_rng(0).permutation(60)]
    config = {"traces": 5, "unit": "trace", "data_seed": 0}
    found = []
    for some in (rows, shuffled):
        index = kept_index(some)
        found.append([index.ids[row] for row in held_out_rows(index, config).tolist()])
    assert found[0] == found[1]


def test_what_is_not_kept_or_was_removed_is_not_held_out():
    index = index_of([Row(f"t{i}", f"p{i}") for i in range(20)])
    for row in range(8):
        index.place(row, row, 1)
    index.removed.set(0, "duplicate")
    config = {"traces": 6, "unit": "trace", "data_seed": 0}
    assert set(held_out_rows(index, config).tolist()) <= set(range(1, 8))
    with pytest.raises(UserError, match=r"held_out.traces: 7 found, and .* 7 have"):
        held_out_rows(index, config | {"traces": 7})


def test_a_size_in_tokens_is_not_known_before_they_are_counted(tmp_path):
    config = {"traces": 2, "unit": "trace", "data_seed": 0}
    assert room(tmp_path)(arm(size_in="tokens"), 0, config) is None
