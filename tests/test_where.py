from __future__ import annotations

import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valley.axes import CORRECTNESSES, DIFFICULTIES
from valley.errors import UserError
from valley.where import Where, spelled

CELL = {
    "student": "qwen",
    "stage": 2,
    "size": 1000,
    "difficulty": "hard",
    "correctness": "all",
    "seed": 0,
    "train.learning_rate": 8e-5,
    "train.schedule": "cosine",
    "train.gradient_clip": None,
    "train.adam_betas": [0.9, 0.95],
    "train.deepspeed": {"zero": {"overlap_comm": True}},
}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("size=1000", True),
        ("size=1e3", None),
        ("size=10,1000", True),
        ("size==1000", True),
        ("size == 10,20", False),
        ("size != 1000", False),
        ("size!=1,2", True),
        ("size<1000", False),
        ("size<=1000", True),
        ("size>999.5", True),
        ("size>=1001", False),
        ("difficulty=easy,hard", True),
        ("difficulty!=hard", False),
        ("student=qwen", True),
        ("student=Qwen", False),
        ("train.learning_rate=0.00008", True),
        ("train.learning_rate=8e-5", True),
        ("train.learning_rate>1e-4", False),
        ("train.schedule=cosine", True),
        ("train.schedule>1", False),
        ("train.gradient_clip=null", True),
        ("train.adam_betas=[0.9,0.95]", True),
        ("train.adam_betas = [0.9, 0.999], [0.9, 0.95]", True),
        ("train.adam_betas=[0.9,0.999]", False),
        ("train.adam_betas!=0.9", True),
        ("train.adam_betas<1", False),
        ('train.deepspeed={"zero":{"overlap_comm":true}}', True),
        ("train.deepspeed={zero}", False),
        ("train.steps=null", True),
        ("train.steps=5", False),
        ("train.steps!=5", True),
        ("train.steps<5", False),
    ],
)
def test_a_condition(condition, holds):
    if holds is None:
        with pytest.raises(UserError, match="expected a whole number"):
            Where.parse([condition])
        return
    assert Where.parse([condition]).matches(CELL) is holds


@pytest.mark.parametrize("axis", sorted(CELL))
def test_a_spelled_value_chooses_its_cell(axis):
    assert Where.parse([f"{axis}={spelled(CELL[axis])}"]).matches(CELL)


def test_all_conditions_hold():
    assert Where.parse([]).matches(CELL)
    assert Where.parse(["size>10", "stage=2"]).matches(CELL)
    assert not Where.parse(["size>10", "stage=1"]).matches(CELL)
    assert str(Where.parse(["size > 10", "stage = 1,2"])) == "size>10 stage=1,2"


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("size", "expected AXIS=VALUE"),
        ("=3", "expected AXIS=VALUE"),
        ("size=", "expected AXIS=VALUE"),
        ("size=1,", "expected AXIS=VALUE"),
        ("", "expected AXIS=VALUE"),
        ("sise=3", r"unknown axis; expected one of student.*; did you mean size\?"),
        ("train=3", "unknown axis"),
        ("epochs=3", r"unknown axis; .*; did you mean train\.epochs\?"),
        ("train.micro_batch_size=3", "no axis, since a result does not depend on it"),
        ("size=>3", "found '>3'; expected a whole number"),
        ("size=many", "found 'many'; expected a whole number"),
        ("size<many", "found 'many'; expected one number after <"),
        ("size<1,2", "found '1,2'; expected one number after <"),
        ("size<nan", "expected one number after <"),
        ("seed=-1", "expected a whole number, 0 or more"),
        ("difficulty=simple", "found 'simple'; expected one of all, easy, medium, hard"),
        ("correctness=wrong", "expected one of all, correct, incorrect"),
        ("difficulty<hard", "difficulty has no order; expected = or !="),
    ],
)
def test_a_bad_condition_is_named(condition, message):
    with pytest.raises(UserError, match=message) as fault:
        Where.parse(["size=8", condition])
    assert str(fault.value).startswith(f"--where {condition}: ")


def test_where_nothing_is_chosen_it_is_told_what_there_is():
    cells = [{"size": 0, "seed": 0}, {"size": 8, "seed": 1, "train.steps": None}]
    said = "the axes here: size, seed, train.steps"
    assert Where.parse(["size=7"]).vain(cells) == f"{said}; size here: 0, 8"
    assert Where.parse(["seed=1", "train.steps=3"]).vain(cells) == f"{said}; train.steps here: null"
    assert Where.parse(["train.lr=1"]).vain(cells) == f"{said}; train.lr is none of them"
    both = Where.parse(["size=0", "seed=1"])
    assert both.vain(cells) == f"{said}; no cell meets all of the conditions"
    many = Where.parse(["size=99"]).vain([{"size": size} for size in range(40)])
    assert many.endswith(", 28, 29, …")


CELLS = st.fixed_dictionaries(
    {
        "student": st.sampled_from(["a", "b"]),
        "stage": st.integers(1, 3),
        "size": st.integers(0, 9),
        "difficulty": st.sampled_from(DIFFICULTIES),
        "correctness": st.sampled_from(CORRECTNESSES),
        "seed": st.integers(0, 3),
    }
)
SIGNS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "!=": operator.ne,
}


@given(
    cells=st.lists(CELLS, max_size=20),
    numbers=st.lists(
        st.tuples(
            st.sampled_from(["stage", "size", "seed"]),
            st.sampled_from(list(SIGNS)),
            st.integers(0, 9),
        ),
        max_size=3,
    ),
    words=st.sets(st.sampled_from(DIFFICULTIES), min_size=1),
)
def test_a_part_is_what_a_plain_filter_keeps(cells, numbers, words):
    where = Where.parse(
        [f"{axis}{sign}{value}" for axis, sign, value in numbers]
        + [f"difficulty={','.join(sorted(words))}"]
    )
    kept = [cell for cell in cells if where.matches(cell)]
    assert kept == [
        cell
        for cell in cells
        if cell["difficulty"] in words
        and all(SIGNS[sign](cell[axis], value) for axis, sign, value in numbers)
    ]
