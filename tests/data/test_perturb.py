from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valley.data.perturb import corrupted, perturbed
from valley.data.selection_config import PerturbConfig
from valley.data.traces import Trace

ANSWER = "So:\n```python\nprint((7 * int(input()) + 3) % 10)\n```\nDone."


def trace(number: int = 0, thinking: str = "", answer: str = ANSWER) -> Trace:
    return Trace(f"t{number}", "p", thinking, answer)


@given(seed=st.integers(0, 50), number=st.integers(0, 50))
def test_an_answer_is_corrupted_inside_its_program_alone(seed, number):
    before = trace(number, "thought")
    after = perturbed(before, PerturbConfig(kind="answer_corrupted"), seed)
    assert after.thinking == "thought" and after.answer != ANSWER
    assert after.answer.startswith("So:\n```python\nprint((") and after.answer.endswith(
        "\n```\nDone."
    )
    assert after == perturbed(before, PerturbConfig(kind="answer_corrupted"), seed)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("```python\nprint(x < y)\n```", "```python\nprint(x >= y)\n```"),
        ("```\na = b\nprint(a)\n```", "```\na = b\n```"),
        ("first ```\n1\n``` then ```\nx + y\n```", "first ```\n1\n``` then ```\nx - y\n```"),
    ],
)
def test_without_numbers_a_sign_or_a_line_changes_and_always_the_last_program(answer, expected):
    assert corrupted(answer, random.Random(0)) == expected


def test_names_are_no_numbers():
    assert corrupted("```\nx1 = y2\n```", random.Random(0)) == "```\n\n```"


@given(steps=st.lists(st.sampled_from("abcdef"), min_size=1, max_size=9), seed=st.integers(0, 9))
def test_shuffled_steps_are_the_same_steps_in_another_order(steps, seed):
    for joint in ("\n", "\n\n"):
        before = trace(0, joint.join(steps))
        after = perturbed(before, PerturbConfig(kind="steps_shuffled"), seed).thinking
        assert sorted(after.split(joint)) == sorted(steps)
        assert (after != before.thinking) == (len(set(steps)) > 1)


@given(count=st.integers(1, 20), fraction=st.sampled_from([0.1, 0.5, 0.9]), seed=st.integers(0, 9))
def test_deleted_steps_leave_the_others_in_their_order(count, fraction, seed):
    steps = [f"step {number}" for number in range(count)]
    config = PerturbConfig(kind="steps_deleted", fraction=fraction)
    left = perturbed(trace(0, "\n\n".join(steps)), config, seed).thinking
    kept = left.split("\n\n") if left else []
    assert kept == [step for step in steps if step in set(kept)]
    assert abs(count - len(kept) - fraction * count) <= 0.5


def test_a_share_of_the_traces_is_perturbed_the_same_ones_in_every_set():
    config = PerturbConfig(kind="answer_corrupted", share=0.3)
    changed = [
        number for number in range(400) if perturbed(trace(number), config, 0) != trace(number)
    ]
    assert 90 <= len(changed) <= 150
    more = PerturbConfig(kind="answer_corrupted", share=0.6)
    assert all(perturbed(trace(number), more, 0) != trace(number) for number in changed)
    other = [
        number for number in range(400) if perturbed(trace(number), config, 1) != trace(number)
    ]
    assert changed != other
