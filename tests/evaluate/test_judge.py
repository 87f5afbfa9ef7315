"""From a program's end to a status; what really running programs come to stands in test_grade."""

from dataclasses import replace

import pytest

from valley.data.problems import Problem
from valley.evaluate.judge import Judge
from valley.evaluate.sandbox import Outcome

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


@pytest.mark.parametrize("problem", [STDIN, FUNCTION])
def test_what_was_given_is_compared_with_what_the_test_expects(problem):
    judge = Judge.of(problem)
    assert [judge.status(number, FINE) for number in (0, 1)] == ["passed", "wrong_answer"]


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
    assert Judge.of(problem).status(0, replace(FINE, **changes)) == status


@pytest.mark.parametrize("answer", [None, b"", b"not JSON", b"[" * 100_000])
def test_a_function_without_a_value_has_failed(answer):
    assert Judge.of(FUNCTION).status(0, replace(FINE, answer=answer)) == "runtime_error"


def test_bytes_that_are_no_text_are_wrong():
    assert Judge.of(STDIN).status(0, replace(FINE, stdout=b"\xff")) == "wrong_answer"
