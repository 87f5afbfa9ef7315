import json
import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valley.data.problems import Problem
from valley.errors import UserError
from valley.evaluate.compare import Comparison, comparison, same_text, same_value

EXACT = Comparison("exact", 0.0)
TOKEN = Comparison("token", 0.0)
FLOAT = Comparison("float", 1e-6)
LINES, TOKENS, ITEMS, NESTED = (
    Comparison("unordered", of=of) for of in ("lines", "tokens", "items", "nested")
)
TEXT_RULES = (EXACT, TOKEN, FLOAT, LINES, TOKENS)
VALUE_RULES = (EXACT, TOKEN, FLOAT, ITEMS, NESTED)


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


@pytest.mark.parametrize(
    ("expected", "actual", "lines", "tokens"),
    [
        ("1 2\n3 4", "3 4\n1 2", True, True),
        ("1 2\n3 4", "4 3\n2 1\n", False, True),
        ("1 2\n3 4", "4 3 2 1", False, True),
        ("1.0 2\n3", "3.00\n1 2.", True, True),
        ("1\n1\n2", "1\n2\n2", False, False),
        ("1\n2", "1\n2\n2", False, False),
        ("a\nA", "A\na", True, True),
        ("a\nA", "a\na", False, False),
        ("0.3", "0.30000000000000004", False, False),
        ("nan sNaN", "nan sNaN", True, True),
        ("", "\n", True, True),
    ],
)
def test_text_in_any_order(expected, actual, lines, tokens):
    assert same_text(LINES, expected, actual) is lines
    assert same_text(TOKENS, expected, actual) is tokens


@pytest.mark.parametrize(
    ("expected", "actual", "items", "nested"),
    [
        ("[1, 2, 2]", "[2, 1, 2]", True, True),
        ("[1, 2, 2]", "[2, 1, 1]", False, False),
        ("[1, 2]", "[1, 2, 2]", False, False),
        ("[[1, 2], [3]]", "[[3], [1, 2]]", True, True),
        ("[[1, 2], [3]]", "[[3], [2, 1]]", False, True),
        ('[{"a": [1, 2]}, 0]', '[0, {"a": [2, 1]}]', False, True),
        ('{"a": [1, 2]}', '{"a": [2, 1]}', False, True),
        ("[1, true]", "[true, 1.0]", True, True),
        ("[1, 1]", "[true, 1]", False, False),
        ('["1", 1]', '[1, "1"]', True, True),
        ('["1"]', "[1]", False, False),
        ("[[]]", "[{}]", False, False),
        ("[null, false]", "[false, null]", True, True),
        ("3", "3", True, True),
    ],
)
def test_values_in_any_order(expected, actual, items, nested):
    expected, actual = json.loads(expected), json.loads(actual)
    assert same_value(ITEMS, expected, actual) is items
    assert same_value(NESTED, expected, actual) is nested


TEXTS = st.lists(
    st.lists(
        st.one_of(
            st.integers().map(str), st.floats().map(str), st.text("ab1.-e ", max_size=4).map(str)
        ),
        max_size=4,
    ).map(" ".join),
    max_size=5,
).map("\n".join)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text("ab1", max_size=3),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab", max_size=2), inner),
    max_leaves=12,
)


@given(TEXTS)
def test_every_text_is_right_if_it_is_the_expected_one(text):
    assert all(same_text(rule, text, text) for rule in TEXT_RULES)


@given(VALUES)
def test_every_value_is_right_if_it_is_the_expected_one(value):
    assert all(same_value(rule, value, json.loads(json.dumps(value))) for rule in VALUE_RULES)


@given(TEXTS, TEXTS)
def test_text_rules_are_symmetric(one, other):
    for rule in TEXT_RULES:
        assert same_text(rule, one, other) is same_text(rule, other, one)


@given(VALUES, VALUES)
def test_value_rules_are_symmetric(one, other):
    for rule in VALUE_RULES:
        assert same_value(rule, one, other) is same_value(rule, other, one)


@given(TEXTS, st.integers())
def test_unordered_text_may_stand_in_any_order(text, seed):
    # Without the lines that the outer white space hides: they would be other lines further in.
    lines = [line for line in text.split("\n") if line.strip()]
    shuffled = random.Random(seed).sample(lines, len(lines))
    assert same_text(LINES, "\n".join(lines), "\n".join(shuffled))
    tokens = text.split()
    assert same_text(TOKENS, text, "\n".join(random.Random(seed).sample(tokens, len(tokens))))


@given(st.lists(VALUES, max_size=5), st.integers())
def test_unordered_lists_may_stand_in_any_order_and_lose_nothing(values, seed):
    shuffled = random.Random(seed).sample(values, len(values))
    assert same_value(ITEMS, values, shuffled)
    assert same_value(NESTED, [values], [shuffled])
    assert not same_value(ITEMS, values, [*shuffled, None])


@given(st.floats(-1e12, 1e12), st.floats(1e-12, 0.5), st.floats(-2, 2))
def test_a_number_is_right_within_the_tolerance_and_not_beyond(number, tolerance, part):
    rule = Comparison("float", tolerance)
    # Absolute for what is small, relative for the rest; 1 % around the border is left to rounding.
    off = number + part * tolerance * max(1.0, abs(number))
    if abs(part) < 0.99 or off == number:
        assert same_text(rule, repr(number), repr(off)) and same_value(rule, number, off)
    elif not math.isclose(number, off, rel_tol=1.01 * tolerance, abs_tol=1.01 * tolerance):
        assert not same_text(rule, repr(number), repr(off))
        assert not same_value(rule, number, off)


def test_values_nested_deeper_than_the_stack():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    assert same_value(TOKEN, deep, deep)
    assert not same_value(NESTED, [1], deep)


def test_a_problem_carries_its_rule():
    assert comparison(problem({"rule": "token"})) == TOKEN
    assert comparison(problem({"rule": "exact"})) == EXACT
    assert comparison(problem({"rule": "float"})) == FLOAT
    assert comparison(problem({"rule": "float", "tolerance": 1e-3})) == Comparison("float", 1e-3)
    assert comparison(problem({"rule": "unordered"})) == LINES
    assert comparison(problem({"rule": "unordered", "of": "tokens"})) == TOKENS
    function = replace(problem({"rule": "unordered"}), kind="function", function="f")
    assert comparison(function) == ITEMS
    assert comparison(problem({"rule": "checker", "program": "x"})).rule == "checker"


@pytest.mark.parametrize(
    ("compare", "named"),
    [
        ({"rule": "close"}, "'close'"),
        ({}, "None"),
        ({"rule": "token", "tolerance": 1e-3}, "'tolerance'"),
        ({"rule": "float", "tolerence": 1e-3}, "'tolerence'"),
        ({"rule": "float", "tolerance": 2}, "below 1"),
        ({"rule": "unordered", "of": "items"}, "one of lines, tokens"),
        ({"rule": "unordered", "tolerance": 1e-3}, "'tolerance'; `unordered` takes `of`"),
        ({"rule": "exact", "of": "lines"}, "`exact` takes nothing else"),
        ({"rule": "float", "tolerance": "1e-3"}, "below 1"),
    ],
)
def test_a_wrong_rule_names_the_problem(compare, named):
    with pytest.raises(UserError, match="'p7'") as error:
        comparison(problem(compare))
    assert named in str(error.value)
