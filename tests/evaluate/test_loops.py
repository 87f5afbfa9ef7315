from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valley.evaluate.loops import LEAST_CHARACTERS, TAIL_CHARACTERS, TIMES, ends_in_loop

SENTENCE = "Wait, let me check that once more. "
COUNTED = "".join(f"Step {i}: now x is {i * 7 % 31}. " for i in range(300))


@pytest.mark.parametrize(
    "text",
    [
        SENTENCE * 3,
        f"{COUNTED}{SENTENCE * 3}",
        f"{SENTENCE * 40}Wait, l",
        "a" * 100,
        "\n" * 100,
        "0 1 " * 20,
        (COUNTED[:900] + "\n") * 4,
    ],
)
def test_loops(text):
    assert ends_in_loop(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        COUNTED,
        SENTENCE * 2,
        f"{SENTENCE * 30}No: it is 7.",
        "So the answer is" + "." * 20,
        "".join(f"def f{i}(): return {i}\n" for i in range(100)),
    ],
)
def test_no_loops(text):
    assert not ends_in_loop(text)


@given(st.text("ab c", min_size=1, max_size=30), st.text("xy", max_size=40), st.integers(0, 29))
def test_what_is_said_three_times_over_is_a_loop_whatever_stood_before(period, before, cut):
    times = max(TIMES, -(-LEAST_CHARACTERS // len(period)))
    assert ends_in_loop(before + period * times + period[: cut % len(period)])


def test_the_longest_text_is_looked_at_in_no_time(cpu_s):
    began = cpu_s()
    assert not ends_in_loop("a" * TAIL_CHARACTERS * 100 + "b")
    assert cpu_s() - began < 0.5
