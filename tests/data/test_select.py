from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valley.data.select import select, strata
from valley.data.traces import Trace
from valley.errors import UserError


def pool(count: int) -> list[Trace]:
    return [
        Trace(
            id=f"p{i}/0",
            problem_id=f"p{i}",
            thinking="t",
            answer="a",
            correct=[True, False, None][i % 3],
            difficulty=["easy", "medium", "hard"][i // 3 % 3],
        )
        for i in range(count)
    ]


@given(
    count=st.integers(9, 80),
    seed=st.integers(0, 5),
    difficulty=st.sampled_from(["all", "easy", "hard"]),
    correctness=st.sampled_from(["all", "correct", "incorrect"]),
    data=st.data(),
)
def test_subsets_are_nested_and_do_not_depend_on_the_order(
    count, seed, difficulty, correctness, data
):
    traces = pool(count)
    held = strata(traces)[f"{difficulty}/{correctness}"]
    large = data.draw(st.integers(0, held))
    small = data.draw(st.integers(0, large))
    chosen = select(traces, difficulty, correctness, large, seed)
    shuffled = random.Random(seed).sample(traces, len(traces))
    assert select(shuffled, difficulty, correctness, large, seed) == chosen
    assert select(traces, difficulty, correctness, small, seed) == chosen[:small]
    assert all(difficulty in ("all", t.difficulty) for t in chosen)
    assert correctness == "all" or all(t.correct is (correctness == "correct") for t in chosen)


def test_arms_are_disjoint_and_unknown_correctness_is_in_neither():
    traces = pool(60)
    counts = strata(traces)
    right = {t.id for t in select(traces, "all", "correct", counts["all/correct"], 0)}
    wrong = {t.id for t in select(traces, "all", "incorrect", counts["all/incorrect"], 0)}
    assert not right & wrong
    assert len(right) + len(wrong) == 40


def test_the_data_seed_draws_another_subset():
    traces = pool(60)
    first, second = (select(traces, "all", "all", 20, seed) for seed in (0, 1))
    assert {t.id for t in first} != {t.id for t in second}


def test_rows_added_upstream_move_few_members():
    before = {t.id for t in select(pool(600), "all", "all", 100, 0)}
    after = {t.id for t in select(pool(660), "all", "all", 100, 0)}
    assert len(before & after) > 75


def test_too_large_a_size_says_what_there_is():
    with pytest.raises(
        UserError, match="size 9 is larger than the pool: 6 traces are easy/correct"
    ):
        select(pool(54), "easy", "correct", 9, 0)
