import json

import pytest

from valley.data.problems import Problem
from valley.errors import UserError
from valley.evaluate.compare import Comparison, comparison, same_text, same_value

EXACT = Comparison("exact", 0.0)
TOKEN = Comparison("token", 0.0)
FLOAT = Comparison("float", 1e-6)


def problem(compare):
    return Problem("p7", "test", "", [{"input": "", "output": ""}], compare=compare)


@pytest.mark.parametrize(
    ("expected", "actual", "exact", "token", "float_"),
    [
        ("1 2\n3", "1 2\n3", True, True, True),
        ("1 2\n3\n", "1 2  \n3\n\n\n", True, True, True),
        ("1 2\n3", "\n 1 2\n3", False, True, True),
        ("1 2", "1  2", False, True, True),
        ("1 2", "1\n2", False, False, False),
        ("1\n2", "1\n\n2", False, False, False),
        ("0.50", "0.5", False, True, True),
        ("Case #1: 0.50", "Case #1: .5", False, True, True),
        ("0.3", "0.30000000000000004", False, False, True),
        ("1000000", "1000000.5", False, False, True),
        ("1000000", "1000002", False, False, False),
        ("Yes", "YES", False, False, False),
        ("a 1", "a 2", False, False, False),
        ("1 2 3", "1 2", False, False, False),
        ("nan", "nan", True, True, True),
        ("0", "sNaN", False, False, False),
        ("1", "1e99999999999999999999", False, False, False),
        ("1", "inf", False, False, False),
        ("", "", True, True, True),
        ("", "0", False, False, False),
        ("x\r\ny", "x\ny", True, True, True),
    ],
)
def test_text(expected, actual, exact, token, float_):
    assert same_text(EXACT, expected, actual) is exact
    assert same_text(TOKEN, expected, actual) is token
    assert same_text(FLOAT, expected, actual) is float_


@pytest.mark.parametrize(
    ("expected", "actual", "token", "float_"),
    [
        ('[1, [2, {"a": null}]]', '[1, [2, {"a": null}]]', True, True),
        ("1", "1.0", True, True),
        ("true", "1", False, False),
        ("[0]", "[false]", False, False),
        ("true", "true", True, True),
        ("0.3", "0.30000000000000004", False, True),
        ('{"a": [0.3]}', '{"a": [0.30000000000000004]}', False, True),
        ('{"a": 1}', '{"b": 1}', False, False),
        ('{"a": 1}', '{"a": 1, "b": 2}', False, False),
        ("[1, 2]", "[2, 1]", False, False),
        ("[1]", "[1, 1]", False, False),
        ('"1"', "1", False, False),
        ('"a b"', '"a  b"', False, False),
        ("null", "false", False, False),
        ("[]", "{}", False, False),
        ("1", "1" + "0" * 400, False, False),
        ("1", "NaN", False, False),
    ],
)
def test_values(expected, actual, token, float_):
    expected, actual = json.loads(expected), json.loads(actual)
    assert same_value(EXACT, expected, actual) is token
    assert same_value(TOKEN, expected, actual) is token
    assert same_value(FLOAT, expected, actual) is float_


def test_values_nested_deeper_than_the_stack():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert same_value(TOKEN, deep, deep)


def test_a_problem_carries_its_rule():
    assert comparison(problem({"rule": "token"})) == TOKEN
    assert comparison(problem({"rule": "exact"})) == EXACT
    assert comparison(problem({"rule": "float"})) == FLOAT
    assert comparison(problem({"rule": "float", "tolerance": 1e-3})) == Comparison("float", 1e-3)


@pytest.mark.parametrize(
    ("compare", "named"),
    [
        ({"rule": "close"}, "'close'"),
        ({}, "None"),
        ({"rule": "token", "tolerance": 1e-3}, "'tolerance'"),
        ({"rule": "float", "tolerence": 1e-3}, "'tolerence'"),
        ({"rule": "float", "tolerance": 2}, "below 1"),
        ({"rule": "float", "tolerance": "1e-3"}, "below 1"),
    ],
)
def test_a_wrong_rule_names_the_problem(compare, named):
    with pytest.raises(UserError, match="'p7'") as error:
        comparison(problem(compare))
    assert named in str(error.value)
