from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valley.data.problems import Problem, problem_set_digest
from valley.errors import UserError
from valley.evaluate.samples import Sample, Verdict
from valley.evaluate.score import score

DIRECT = "```python\nprint(1)\n```"
THOUGHT = f"<think>so</think>\n{DIRECT}"
CUT = "<think>so" + " and so on" * 30


def problem(name, difficulty, **fields):
    tests = [{"input": "", "output": "1"}]
    return Problem(name, "test", "", tests, difficulty=difficulty, **fields)


PROBLEMS = [
    problem("a", "easy", platform="atcoder", date="2024-08-31T00:00:00"),
    problem("b", "easy", platform="leetcode", date="2024-08-01", flags=["special_judge"]),
    problem("c", None, date="soon"),
]
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
    Verdict(name, index, status, None, 4 if status == "passed" else 1, 4, 0.0, 0.0)
    for name, index, _, _, status in ROWS
]


def test_figures():
    result = score(PROBLEMS, SAMPLES, VERDICTS, k=(2, 3))
    assert result["metrics"] == pytest.approx(
        {
            "pass@1": (1 + 0 + 1 / 3) / 3,
            "pass@2": (1 + 0 + 2 / 3) / 3,  # 1 - C(2, 2) / C(3, 2)
            "pass@3": 2 / 3,
            "pass@1_unflagged": (1 + 1 / 3) / 2,
            "pass@2_unflagged": (1 + 2 / 3) / 2,
            "pass@3_unflagged": 1.0,
            "samples": 9,
            "problems": 3,
            "flagged_problems": 1,
            "completion_rate": 8 / 9,
            "think_opened_rate": 6 / 9,
            "think_closed_rate": 5 / 9,
            "extracted_rate": 8 / 9,
            "parsed_rate": 6 / 9,
            "ran_rate": 5 / 9,
            "tests_passed_mean": (4 + 5 / 4) / 9,
            "pass@1_completed": 4 / 8,
            "loop_rate": 1.0,
            "completion_tokens_mean": 40.0,
            "completion_tokens_median": 31.0,
            "completion_tokens_total": 360,
            "prompt_tokens_total": 45,
            "passed_by_cheat": 0,
            "infrastructure_errors": 1,
        }
    )
    assert result["by_difficulty"] == {
        "easy": {"problems": 2, "pass@1": pytest.approx(0.5)},
        "unknown": {"problems": 1, "pass@1": pytest.approx(1 / 3)},
    }
    assert result["by_platform"] == {
        "atcoder": {"problems": 1, "pass@1": 1.0},
        "leetcode": {"problems": 1, "pass@1": 0.0},
        "unknown": {"problems": 1, "pass@1": pytest.approx(1 / 3)},
    }
    assert result["by_month"] == {
        "2024-08": {"problems": 2, "pass@1": 0.5},
        "unknown": {"problems": 1, "pass@1": pytest.approx(1 / 3)},
    }
    assert result["flags"] == {"special_judge": [1]}
    assert result["statuses"] == {
        "passed": 4,
        "no_code": 1,
        "wrong_answer": 1,
        "syntax_error": 1,
        "infrastructure_error": 1,
        "time_limit": 1,
    }
    assert result["counts"] == [[3, 3], [3, 0], [3, 1]]
    assert result["completed"] == [3, 2, 3]
    assert result["opened"] == [1, 3, 2]
    assert result["think_closed"] == [1, 2, 2]
    assert result["tests_passed"] == [3.0, 0.75, 1.5]
    assert result["problem_set"] == {"digest": problem_set_digest(["a", "b", "c"]), "problems": 3}


def test_figures_are_plain_numbers():
    metrics = score(iter(PROBLEMS), iter(SAMPLES), VERDICTS)["metrics"]
    assert {type(value) for value in metrics.values()} == {int, float}


def test_none_completed():
    samples = [replace(sample, finish_reason="length") for sample in SAMPLES]
    metrics = score(PROBLEMS, samples, VERDICTS)["metrics"]
    assert metrics["pass@1_completed"] is None
    assert metrics["completion_rate"] == 0
    assert metrics["loop_rate"] == 1 / 9


def test_none_truncated_and_none_unflagged():
    samples = [replace(sample, finish_reason="stop") for sample in SAMPLES]
    flagged = [replace(p, flags=["mine"]) for p in PROBLEMS]
    result = score(flagged, samples, VERDICTS)
    assert result["metrics"]["loop_rate"] is None
    assert result["metrics"]["pass@1_unflagged"] is None
    assert result["flags"] == {"mine": [0, 1, 2]}


def test_a_pass_by_cheating_is_counted():
    verdicts = [replace(v, note="cheat: __eq__") for v in VERDICTS]
    assert score(PROBLEMS, SAMPLES, verdicts)["metrics"]["passed_by_cheat"] == 4


OUTCOMES = st.integers(1, 5).flatmap(
    lambda n: st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=1, max_size=5)
)


def scored(outcomes):
    problems = [problem(str(i), None) for i in range(len(outcomes))]
    samples, verdicts = [], []
    for i, passes in enumerate(outcomes):
        for k, passed in enumerate(passes):
            samples.append(Sample(str(i), k, 0, DIRECT, "stop", 1, 1))
            status = "passed" if passed else "wrong_answer"
            verdicts.append(Verdict(str(i), k, status, None, 0, 1, 0.0, 0.0))
    n = len(outcomes[0])
    metrics = score(problems, samples, verdicts, k=range(1, n + 1))["metrics"]
    return [metrics[f"pass@{k}"] for k in range(1, n + 1)]


@given(OUTCOMES, st.randoms())
def test_pass_at_k_is_bounded_monotone_and_blind_to_order(outcomes, random):
    values = scored(outcomes)
    assert all(0 <= value <= 1 for value in values)
    assert all(a <= b + 1e-12 for a, b in pairwise(values))
    # What any of a problem's samples solves, is solved when all may be tried.
    assert values[-1] == pytest.approx(sum(map(any, outcomes)) / len(outcomes))
    shuffled = [random.sample(passes, len(passes)) for passes in outcomes]
    random.shuffle(shuffled)
    assert scored(shuffled) == pytest.approx(values)


@given(OUTCOMES, st.data())
def test_one_more_pass_never_lowers_pass_at_k(outcomes, data):
    i = data.draw(st.integers(0, len(outcomes) - 1))
    k = data.draw(st.integers(0, len(outcomes[0]) - 1))
    better = [list(passes) for passes in outcomes]
    better[i][k] = True
    for before, after in zip(scored(outcomes), scored(better), strict=True):
        assert after >= before - 1e-12


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
