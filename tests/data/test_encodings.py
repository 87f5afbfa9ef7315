from __future__ import annotations

import doctest
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valley.data.sources import encodings
from valley.data.sources.encodings import UnusableTests, parse_input_output


def parsed(**value):
    found = parse_input_output(json.dumps(value))
    return [(test["input"], test["output"]) for test in found.tests], found.function


def test_the_examples_hold():
    assert doctest.testmod(encodings).failed == 0


STDIN = {
    "texts": (["1 2\n"], ["3\n"], [("1 2\n", "3\n")]),
    "lists of lines": ([["1 2", "3"]], [["4", "5"]], [("1 2\n3", "4\n5")]),
    "lists of words": ([[["1", 2], [3.5]]], [[["a", "b"]]], [("1 2\n3.5", "a b")]),
    "bare values": ([7], [True], [("7", "True")]),
    "null": (["1", "2"], [None, 3], [("1", ""), ("2", "3")]),
    "not ASCII": (["é ≤\n"], ["日本\n"], [("é ≤\n", "日本\n")]),
}


@pytest.mark.parametrize("inputs, outputs, expected", STDIN.values(), ids=STDIN.keys())
def test_tests_on_stdin(inputs, outputs, expected):
    assert parsed(inputs=inputs, outputs=outputs) == (expected, None)


CALLS = {
    "packed results": ([[1, [2]], [3, []]], [[6], [[7]]], [("1\n[2]\n", "6"), ("3\n[]\n", "[7]")]),
    "bare results": ([["a"]], ["é"], [('"a"\n', '"\\u00e9"')]),
    "lists as results": ([[1], [2]], [[1], [1, 2]], [("1\n", "[1]"), ("2\n", "[1, 2]")]),
    "text with a value a line": (["[1, 2]\n3"], [5], [("[1, 2]\n3\n", "5")]),
    "no arguments": ([[]], [1], [("", "1")]),
}


@pytest.mark.parametrize("inputs, outputs, expected", CALLS.values(), ids=CALLS.keys())
def test_calls(inputs, outputs, expected):
    assert parsed(fn_name="f", inputs=inputs, outputs=outputs) == (expected, "f")


def test_a_number_longer_than_python_reads_stays_text_on_stdin():
    long = "9" * 5000
    text = f'{{"inputs": [[{long}, 1]], "outputs": ["1"]}}'
    assert parse_input_output(text).tests[0]["input"] == f"{long}\n1"
    with pytest.raises(UnusableTests, match="not JSON"):
        parse_input_output(text.replace("{", '{"fn_name": "f", ', 1))


def test_a_mapping_is_read_as_its_json_is():
    value = {"inputs": ["1 2\n"], "outputs": ["3\n"]}
    assert parse_input_output(value) == parse_input_output(json.dumps(value))


UNUSABLE = {
    "nothing": (None, "no tests"),
    "blank": ("  ", "no tests"),
    "no JSON": ("{'inputs': []}", "not JSON"),
    "a list": ("[]", "no mapping"),
    "empty": ('{"inputs": [], "outputs": []}', "no tests"),
    "no outputs": ('{"inputs": ["1"]}', "no tests"),
    "too few": ('{"inputs": ["1", "2"], "outputs": ["1"]}', "different numbers"),
    "no name": ('{"inputs": [[1]], "outputs": [1], "fn_name": "a b"}', "proper name"),
    "no arguments": ('{"inputs": [3], "outputs": [1], "fn_name": "f"}', "no list"),
    "a keyword": ('{"inputs": [[1]], "outputs": [1], "fn_name": "class"}', "proper name"),
    "blank outputs": ('{"inputs": ["1", "2"], "outputs": ["", " \\n"]}', "expect nothing"),
    "nothing returned": (
        '{"inputs": [[1]], "outputs": [[null]], "fn_name": "f"}',
        "expect nothing",
    ),
    "half a character": ('{"inputs": ["\\ud800"], "outputs": ["1"]}', "half a character"),
    "a number": ("7", "no mapping"),
    "a number of a column": (7, "no mapping"),
    "no values": ('{"inputs": ["a b"], "outputs": [1], "fn_name": "f"}', "not JSON"),
    "too deep": ("[" * 100_000, "not JSON"),
}


@pytest.mark.parametrize("text, why", UNUSABLE.values(), ids=UNUSABLE.keys())
def test_what_is_no_test_says_why(text, why):
    with pytest.raises(UnusableTests, match=why):
        parse_input_output(text)


@given(st.recursive(st.none() | st.integers() | st.text(), st.lists, max_leaves=20))
def test_whatever_stands_there_is_tests_or_a_reason(value):
    for name in ({}, {"fn_name": "f"}):
        try:
            found = parse_input_output(json.dumps({"inputs": value, "outputs": value, **name}))
        except UnusableTests:
            continue
        assert all(isinstance(part, str) for test in found.tests for part in test.values())


@pytest.mark.parametrize(
    "stated, seconds",
    [
        ("2.0 seconds", 4.0),
        ("10 seconds", 10.0),
        ("1 - 8 seconds", 8.0),
        ("5500 milliseconds", 5.5),
        (5.5, 5.5),
        (None, 4.0),
        ("", 4.0),
        ("None", 4.0),
    ],
)
def test_time_limits(stated, seconds):
    assert encodings.time_limit_s(stated) == seconds


@pytest.mark.parametrize(
    "stated, mib",
    [
        ("256.0 megabytes", 1024),
        ("2048 MB", 2048),
        ("4.0 gigabytes", 4096),
        ("2097152 KB", 2048),
        (f"{3 << 30} bytes", 3072),
        (2048.0, 2048),
        (None, 1024),
    ],
)
def test_memory_limits(stated, mib):
    assert encodings.memory_limit_mib(stated) == mib
