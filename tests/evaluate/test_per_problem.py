import pytest
from hypothesis import given
from hypothesis import strategies as st

from valley.evaluate.per_problem import NAMES, arrays, check, pack, total_samples


@st.composite
def outcomes(draw):
    samples = draw(st.sampled_from([1, 4, 15, 16, 255, 256, 4000]))
    problems = draw(st.integers(1, 20))
    numbers = st.lists(st.integers(0, samples), min_size=problems, max_size=problems)
    lists = {name: draw(numbers) for name in NAMES}
    passed = lists.pop("passed")
    return {"counts": [[samples, number] for number in passed], **lists, "other": 1}


@given(outcomes())
def test_digits_say_what_the_lists_said(outcome):
    packed = pack(outcome)
    assert set(packed) == {"other", "per_problem"}
    check(packed)
    before, after = arrays(outcome), arrays(packed)
    assert all((before[name] == after[name]).all() for name in ("samples", *NAMES))
    assert total_samples(packed) == total_samples(outcome) == before["samples"].sum()


@pytest.mark.parametrize(
    ("name", "value"),
    [("passed", "012"), ("passed", "0"), ("passed", ""), ("opened", "0é"), ("samples", 0)],
)
def test_digits_that_cannot_be_are_refused(name, value):
    lists = {key: [0, 1] for key in NAMES[1:]}
    packed = pack({"counts": [[1, 0], [1, 1]], **lists})
    packed["per_problem"][name] = value
    for read in (arrays, check):
        with pytest.raises((ValueError, TypeError)):
            read(packed)
