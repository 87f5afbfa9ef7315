"""From a program's end to a status; what really running programs come to stands in test_grade."""

import json
from dataclasses import replace

import pytest

from valley.data.problems import Problem
from valley.errors import UserError
from valley.evaluate.judge import Judge
from valley.evaluate.sandbox import Outcome, SandboxError

STDIN = Problem("p", "test", "", [{"input": "", "output": "1\n"}, {"input": "", "output": "2\n"}])
FUNCTION = replace(STDIN, kind="function", function="f")
FINE = Outcome(
    stdout=b"1\n",
    stderr="",
    answer=b"1.0",
    exit_code=0,
    syntax_error=False,
    memory_exceeded=False,
    output_exceeded=False,
    timed_out=False,
    cpu_s=0.1,
    wall_s=0.2,
)
CHECKED = {"rule": "checker", "program": "print('accept')"}


def unasked(run, read):
    raise AssertionError("no checker is to be run")


@pytest.mark.parametrize("problem", [STDIN, FUNCTION])
def test_what_was_given_is_compared_with_what_the_test_expects(problem):
    judge = Judge.of(problem)
    assert [judge.status(number, FINE, unasked) for number in (0, 1)] == ["passed", "wrong_answer"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"output_exceeded": True, "timed_out": True, "exit_code": -9}, "output_limit"),
        ({"timed_out": True, "memory_exceeded": True, "exit_code": -9}, "time_limit"),
        ({"cpu_s": 99.0}, "time_limit"),
        ({"memory_exceeded": True, "exit_code": 1}, "memory_limit"),
        ({"syntax_error": True, "exit_code": 1}, "syntax_error"),
        ({"exit_code": 1}, "runtime_error"),
        ({"exit_code": -11}, "runtime_error"),
    ],
)
@pytest.mark.parametrize("problem", [STDIN, FUNCTION])
def test_a_limit_that_was_hit_explains_the_rest(problem, changes, status):
    assert Judge.of(problem).status(0, replace(FINE, **changes), unasked) == status


@pytest.mark.parametrize(
    "answer", [None, b"", b"not JSON", b"[" * 100_000], ids=["none", "empty", "text", "deep"]
)
def test_a_function_without_a_value_has_failed(answer):
    assert Judge.of(FUNCTION).status(0, replace(FINE, answer=answer), unasked) == "runtime_error"


def test_bytes_that_are_no_text_are_wrong():
    assert Judge.of(STDIN).status(0, replace(FINE, stdout=b"\xff"), unasked) == "wrong_answer"


@pytest.mark.parametrize(
    ("problem", "actual"), [(STDIN, "1\n"), (replace(FUNCTION, compare=CHECKED), "1.0")]
)
def test_a_checker_is_asked_and_nothing_compared(problem, actual):
    judge, asked = Judge.of(replace(problem, compare=CHECKED)), []
    answers = [b"accept\n", b" reject too large"]

    def ask(run, read):
        asked.append(json.loads(run.stdin))
        return read(replace(FINE, stdout=answers.pop(0)))

    assert [judge.status(1, FINE, ask) for _ in answers[:]] == ["passed", "wrong_answer"]
    assert asked == [{"input": "", "expected": "2\n", "actual": actual}] * 2
    assert judge.status(0, replace(FINE, exit_code=1), unasked) == "runtime_error"


@pytest.mark.parametrize(
    "changes",
    [
        {"stdout": b""},
        {"stdout": b"yes"},
        {"stdout": b"accept", "exit_code": 1},
        {"stdout": b"accept", "timed_out": True},
        {"stdout": b"accept", "cpu_s": 11.0},
        {"stdout": b"accept", "output_exceeded": True},
    ],
)
def test_a_checker_that_fails_is_no_wrong_answer(changes):
    judge = Judge.of(replace(STDIN, compare=CHECKED))
    with pytest.raises(SandboxError, match="the checker failed"):
        judge.status(0, FINE, lambda run, read: read(replace(FINE, **changes)))


@pytest.mark.parametrize(
    ("compare", "message"),
    [
        ({"rule": "checker"}, "needs `program`"),
        ({**CHECKED, "program": " "}, "needs `program`"),
        ({**CHECKED, "time_limit_s": 0}, "time_limit_s must be"),
        ({**CHECKED, "memory_limit_mib": "1"}, "memory_limit_mib must be"),
        ({**CHECKED, "time": 1}, "unknown key 'time'"),
    ],
)
def test_a_checker_that_cannot_be_one(compare, message):
    with pytest.raises(UserError, match=message):
        Judge.of(replace(STDIN, compare=compare))
