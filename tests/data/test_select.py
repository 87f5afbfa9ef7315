from __future__ import annotations

import hashlib
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pools import Row, index_of, plain_pool, pools

from valley.data.arm import Arm
from valley.data.select import draw, length_bins, order, strata
from valley.data.selection_config import SelectConfig
from valley.errors import UserError

ARMS = st.tuples(
    st.sampled_from(["all", "easy", "medium", "hard"]),
    st.sampled_from(["all", "correct", "incorrect", "unknown"]),
)
BY_LENGTH = {"arms": ["all/correct", "all/incorrect"], "by": ["length"]}
CONTROLS = st.sampled_from(
    [
        {},
        {"teacher": "A"},
        {"traces_per_problem": 2},
        {"unit": "problem"},
        {"unit": "problem", "traces_per_problem": 1, "size_in": "problems"},
        {"size_in": "characters"},
        {"match": BY_LENGTH},
        {"match": BY_LENGTH, "traces_per_problem": 1},
        {"match": {"arms": ["easy/all", "hard/all"], "by": ["length", "teacher"]}},
        {"match": {"arms": ["all/correct", "all/incorrect"], "by": ["problem"]}, "unit": "problem"},
        {"mix": {"by": "teacher", "shares": {"A": 1, "B": 2}}},
        {"mix": {"by": "length", "shares": {"long": 1, "short": 4}}},
    ]
)


def arm(difficulty: str = "all", correctness: str = "all", **controls) -> Arm:
    return Arm(difficulty, correctness, SelectConfig(**controls))


def ids(rows, of: Arm, seed: int = 0) -> list[str]:
    index = index_of(rows)
    return [index.ids[row] for row in order(index, of, seed).rows.tolist()]


@settings(deadline=None)
@given(rows=pools(), names=ARMS, controls=CONTROLS, seed=st.integers(0, 3), data=st.data())
def test_sets_are_nested_and_do_not_depend_on_the_order_of_rows(rows, names, controls, seed, data):
    of = arm(*names, **controls)
    index = index_of(rows)
    whole = order(index, of, seed)
    large = data.draw(st.integers(0, whole.size))
    small = data.draw(st.integers(0, large))
    first = [draw(index, of, size, seed).tolist() for size in (small, large)]
    assert first[0] == first[1][: len(first[0])]
    shuffled = index_of(random.Random(seed).sample(rows, len(rows)))
    drawn = [shuffled.ids[row] for row in draw(shuffled, of, large, seed).tolist()]
    assert drawn == [index.ids[row] for row in first[1]]
    assert len(set(drawn)) == len(drawn)


@settings(deadline=None)
@given(count=st.integers(9, 60), seed=st.integers(0, 5), names=ARMS)
def test_an_arm_holds_what_its_name_says_by_rank(count, seed, names):
    difficulty, correctness = names
    rows = plain_pool(count)
    verdict = {"correct": True, "incorrect": False, "unknown": None}
    chosen = [
        row.id
        for row in rows
        if difficulty in ("all", row.difficulty)
        and (correctness == "all" or row.correct is verdict[correctness])
    ]
    # What earlier versions drew: the order of the whole hash.
    chosen.sort(key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    assert ids(rows, arm(difficulty, correctness), seed) == chosen


def test_arms_are_disjoint_and_unknown_is_a_category_of_its_own():
    rows = plain_pool(60)
    counts = strata(index_of(rows))
    parts = [set(ids(rows, arm("all", name))) for name in ("correct", "incorrect", "unknown")]
    assert len(set().union(*parts)) == sum(map(len, parts)) == 60 == counts["all/all"]
    assert [counts[f"all/{name}"] for name in ("correct", "incorrect", "unknown")] == [20, 20, 20]


def test_the_data_seed_draws_another_subset():
    index = index_of(plain_pool(60))
    first, second = (set(draw(index, arm(), 20, seed).tolist()) for seed in (0, 1))
    assert first != second


@settings(deadline=None)
@given(rows=pools(80), more=pools(80), size=st.integers(1, 40), seed=st.integers(0, 3))
def test_each_row_that_is_added_moves_one_member_at_most(rows, more, size, seed):
    added = [Row(f"new-{row.id}", *list(vars(row).values())[1:]) for row in more]
    for of in (arm(), arm("all", "correct"), arm("all", "correct", match=BY_LENGTH)):
        before = ids(rows, of, seed)[:size]
        after = set(ids([*rows, *added], of, seed)[:size])
        assert sum(name not in after for name in before) <= len(added)


@settings(deadline=None)
@given(rows=pools(), size=st.integers(0, 40), seed=st.integers(0, 3))
def test_one_row_moves_one_member_of_each_matched_arm_at_most(rows, size, seed):
    *old, new = rows
    for name in ("correct", "incorrect"):
        of = arm("all", name, match=BY_LENGTH)
        before = ids(old, of, seed)[:size]
        after = set(ids([*old, new], of, seed)[:size])
        assert sum(one not in after for one in before) <= 1


@settings(deadline=None)
@given(
    rows=pools(),
    seed=st.integers(0, 3),
    by=st.lists(
        st.sampled_from(["length", "difficulty", "label", "problem", "teacher"]),
        min_size=1,
        max_size=3,
        unique=True,
    ),
    size=st.integers(0, 60),
)
def test_matched_arms_are_alike_in_every_size(rows, seed, by, size):
    """Of two arms of any equal size, each bin holds as many traces."""
    # What no trace has is refused.
    assume("label" not in by or any(row.label for row in rows))
    assume("difficulty" not in by or any(row.difficulty for row in rows))
    index = index_of(rows)
    match = {"arms": ["all/correct", "all/incorrect"], "by": by}
    found = []
    for name in ("correct", "incorrect"):
        chosen = order(index, arm("all", name, match=match), seed).rows[:size]
        columns = {
            "length": length_bins(index.characters, 2).tolist(),
            "difficulty": index.difficulty.codes.tolist(),
            "label": index.label.codes.tolist(),
            "problem": index.problem.codes.tolist(),
            "teacher": index.teacher.codes.tolist(),
        }
        found.append(Counter(tuple(columns[c][row] for c in by) for row in chosen.tolist()))
    assert found[0] == found[1]


def test_a_match_takes_all_partners_that_there_are():
    rows = [Row(f"c{i}", correct=True, characters=100) for i in range(5)]
    rows += [Row(f"i{i}", correct=False, characters=[100, 400][i % 2]) for i in range(6)]
    assert len(ids(rows, arm("all", "correct", match=BY_LENGTH))) == 3
    assert len(ids(rows, arm("all", "incorrect", match=BY_LENGTH))) == 3
    assert len(ids(rows, arm(match=BY_LENGTH))) == 11, "another arm is left alone"


def test_four_arms_are_matched_together():
    names = [
        f"{level}/{verdict}" for level in ("easy", "hard") for verdict in ("correct", "incorrect")
    ]
    rows = [
        Row(f"{level}{correct}{i}", difficulty=level, correct=correct, characters=20 * 2 ** (i % 3))
        for level in ("easy", "hard")
        for correct in (True, False)
        for i in range(9 if level == "easy" else 5)
    ]
    match = {"arms": names, "by": ["length"]}
    found = {}
    for name in names:
        chosen = ids(rows, arm(*name.split("/"), match=match))
        lengths = {row.id: row.characters for row in rows}
        found[name] = [lengths[one] for one in chosen]
    assert len({tuple(lengths) for lengths in found.values()}) == 1
    assert sorted(found["easy/correct"]) == [20, 20, 40, 40, 80]


@settings(deadline=None)
@given(rows=pools(), seed=st.integers(0, 3), most=st.integers(1, 3))
def test_no_problem_has_more_traces_than_its_cap(rows, seed, most):
    problem = {row.id: row.problem for row in rows}
    whole = Counter(problem.values())
    for controls in ({}, {"unit": "problem"}):
        chosen = ids(rows, arm(traces_per_problem=most, **controls), seed)
        assert Counter(problem[one] for one in chosen) == {
            name: min(count, most) for name, count in whole.items()
        }


@settings(deadline=None)
@given(rows=pools(), seed=st.integers(0, 3), size=st.integers(0, 5))
def test_a_size_in_problems_brings_all_traces_of_so_many(rows, seed, size):
    index = index_of(rows)
    of = arm(unit="problem", size_in="problems")
    size = min(size, order(index, of, seed).size)
    chosen = [rows[row].problem for row in draw(index, of, size, seed).tolist()]
    assert len(set(chosen)) == size
    assert len(chosen) == sum(row.problem in set(chosen) for row in rows)


@settings(deadline=None)
@given(rows=pools(), seed=st.integers(0, 3), share=st.sampled_from([0.1, 0.5, 0.8]), data=st.data())
def test_every_beginning_of_a_mix_has_the_shares(rows, seed, share, data):
    mix = {"by": "teacher", "shares": {"A": share, "B": 1 - share}}
    teacher = {row.id: row.teacher for row in rows}
    chosen = [teacher[one] for one in ids(rows, arm(mix=mix), seed)]
    size = data.draw(st.integers(0, len(chosen)))
    assert abs(chosen[:size].count("A") - share * size) <= 1


def test_a_mix_of_lengths_and_of_difficulties():
    rows = [Row(f"t{i}", characters=20 + i, difficulty=["easy", "hard"][i % 2]) for i in range(100)]
    length = {row.id: row.characters for row in rows}
    mix = {"by": "length", "shares": {"long": 1, "short": 4}, "split_characters": 69}
    chosen = [length[one] for one in ids(rows, arm(mix=mix))]
    assert len(chosen) == 63 and sum(one > 69 for one in chosen) == 13
    mix = {"by": "difficulty", "shares": {"easy": 1}}
    assert len(ids(rows, arm(mix=mix))) == 50


def test_a_size_in_characters_is_never_above_it():
    index = index_of([Row(f"t{i}", characters=10 + i % 5) for i in range(50)])
    of = arm(size_in="characters")
    whole = order(index, of, 0)
    assert whole.size == int(index.characters.sum())
    for size in (0, 9, 100, 333):
        chosen = draw(index, of, size, 0)
        total = int(index.characters[chosen].sum())
        assert total <= size < total + index.characters[whole.rows[len(chosen)]]


def test_too_large_a_size_says_what_there_is():
    index = index_of(plain_pool(54))
    with pytest.raises(
        UserError,
        match=r"size 9 is larger than the pool: 6 traces are easy/correct; the pool's strata: all/all 54",
    ):
        draw(index, arm("easy", "correct"), 9, 0)
    with pytest.raises(UserError, match="0 traces are all/correct of teacher X after match;"):
        draw(index, arm("all", "correct", match=BY_LENGTH, teacher="X"), 1, 0)


def test_bins_of_lengths_do_not_depend_on_other_lengths():
    lengths = np.array([1, 2, 3, 100, 141, 142, 200])
    assert length_bins(lengths, 2).tolist() == [0, 2, 3, 13, 14, 14, 15]
    assert length_bins(lengths[3:], 2).tolist() == [13, 14, 14, 15]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size_in": "problems"}, "needs unit: problem"),
        (
            {"match": BY_LENGTH, "mix": {"by": "teacher", "shares": {"A": 1}}},
            "would break the balance",
        ),
        ({"unit": "problem", "match": BY_LENGTH}, "needs `problem` in match.by"),
        ({"match": {"arms": ["all/right", "all/all"], "by": ["length"]}}, "'all/right' found"),
        ({"match": {"arms": ["all/correct", "easy/correct"], "by": ["length"]}}, "share traces"),
        ({"match": {"arms": ["easy/all", "hard/all"], "by": ["difficulty"]}}, "cannot be matched"),
        ({"mix": {"by": "length", "shares": {"medium": 1}}}, "expected of long, short"),
        ({"mix": {"by": "teacher", "shares": {"A": 0}}}, "expected a number above 0"),
    ],
)
def test_controls_that_contradict_one_another_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SelectConfig(**settings)


def test_what_makes_no_difference_to_an_arm_is_no_part_of_it():
    config = SelectConfig(match=BY_LENGTH, traces_per_problem=3)
    assert config.of_arm("all", "all") == {"traces_per_problem": 3}
    assert config.of_arm("all", "correct") == {"traces_per_problem": 3, "match": BY_LENGTH}
    assert SelectConfig().of_arm("all", "all") == {}


def test_arms_are_not_matched_on_what_no_trace_has():
    rows = plain_pool(20)
    match = {"arms": ["all/correct", "all/incorrect"], "by": ["label"]}
    with pytest.raises(
        UserError, match=r"match\.by: label found, and no trace of the pool has one"
    ):
        ids(rows, arm("all", "correct", match=match))
