from dataclasses import replace

import pytest

from valley.data.problems import Problem, problem_set_digest
from valley.errors import UserError
from valley.evaluate.samples import Sample, Verdict
from valley.evaluate.score import score

DIRECT = "```python\nprint(1)\n```"
THOUGHT = f"<think>so</think>\n{DIRECT}"
CUT = "<think>so"


def problem(name, difficulty):
    tests = [{"input": "", "output": "1"}]
    return Problem(name, "test", "", tests, difficulty=difficulty)


PROBLEMS = [problem("a", "easy"), problem("b", "easy"), problem("c", None)]
# (problem, index, text, completion tokens, status)
ROWS = [
    ("a", 0, THOUGHT, 10, "passed"),
    ("b", 0, CUT, 99, "no_code"),
    ("a", 1, DIRECT, 20, "passed"),
    ("b", 1, THOUGHT, 30, "wrong_answer"),
    ("c", 0, DIRECT, 40, "syntax_error"),
    ("c", 1, THOUGHT, 50, "infrastructure_error"),
    ("c", 2, THOUGHT, 60, "passed"),
    ("a", 2, DIRECT, 20, "passed"),
    ("b", 2, THOUGHT, 31, "time_limit"),
]
SAMPLES = [
    Sample(name, index, 0, text, "length" if text == CUT else "stop", 5, tokens)
    for name, index, text, tokens, _ in ROWS
]
VERDICTS = [
    Verdict(name, index, status, None, 0, 1, 0.0, 0.0) for name, index, _, _, status in ROWS
]


def test_figures():
    result = score(PROBLEMS, SAMPLES, VERDICTS, k=(2, 3))
    assert result["metrics"] == pytest.approx(
        {
            "pass@1": (1 + 0 + 1 / 3) / 3,
            "pass@2": (1 + 0 + 2 / 3) / 3,  # 1 - C(2, 2) / C(3, 2)
            "pass@3": 2 / 3,
            "samples": 9,
            "problems": 3,
            "completion_rate": 8 / 9,
            "think_opened_rate": 6 / 9,
            "think_closed_rate": 5 / 9,
            "extracted_rate": 8 / 9,
            "parsed_rate": 6 / 9,
            "pass@1_completed": 4 / 8,
            "completion_tokens_mean": 40.0,
            "completion_tokens_median": 31.0,
            "infrastructure_errors": 1,
        }
    )
    assert result["by_difficulty"] == {
        "easy": {"problems": 2, "pass@1": pytest.approx(0.5)},
        "unknown": {"problems": 1, "pass@1": pytest.approx(1 / 3)},
    }
    assert result["counts"] == [[3, 3], [3, 0], [3, 1]]
    assert result["completed"] == [3, 2, 3]
    assert result["opened"] == [1, 3, 2]
    assert result["think_closed"] == [1, 2, 2]
    assert result["problem_set"] == {"digest": problem_set_digest(PROBLEMS), "problems": 3}


def test_figures_are_plain_numbers():
    metrics = score(PROBLEMS, SAMPLES, VERDICTS)["metrics"]
    assert {type(value) for value in metrics.values()} == {int, float}


def test_none_completed():
    samples = [replace(sample, finish_reason="length") for sample in SAMPLES]
    metrics = score(PROBLEMS, samples, VERDICTS)["metrics"]
    assert metrics["pass@1_completed"] is None
    assert metrics["completion_rate"] == 0


@pytest.mark.parametrize(
    ("samples", "verdicts", "k", "message"),
    [
        ([], [], (1,), "no samples"),
        (SAMPLES, VERDICTS, (4,), "pass@4"),
        (SAMPLES[1:], VERDICTS[1:], (1,), "'a' has 2 samples and problem 'b' 3"),
        (SAMPLES, VERDICTS[:-1], (1,), "9 samples and 8 verdicts"),
        (SAMPLES, [VERDICTS[1], VERDICTS[0], *VERDICTS[2:]], (1,), "same order"),
        ([*SAMPLES, SAMPLES[0]], [*VERDICTS, VERDICTS[0]], (1,), "'a' is there twice"),
        (
            [replace(SAMPLES[0], problem_id="z"), *SAMPLES[1:]],
            [replace(VERDICTS[0], problem_id="z"), *VERDICTS[1:]],
            (1,),
            "'z'",
        ),
    ],
)
def test_mistakes(samples, verdicts, k, message):
    with pytest.raises(UserError, match=message):
        score(PROBLEMS, samples, verdicts, k)


def test_a_problem_without_samples_is_a_mistake():
    extra = [*PROBLEMS, problem("d", "hard")]
    with pytest.raises(UserError, match="'d' has 0 samples"):
        score(extra, SAMPLES, VERDICTS)
