"""How TACO, APPS and their like write down tests and limits, and what they become here.

`input_output` is JSON: {"inputs": […], "outputs": […], "fn_name": …}. Without `fn_name` a test is text on
stdin and stdout, written as one text, a list of lines, or a list of lists of words. With it a test is a
call: the input a list of arguments, or text with a JSON value a line; the output the value, often packed
in a list of one. Who wrote the data set to a file anew may have left the mapping itself instead of its JSON.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any

LEAST_TIME_LIMIT_S, LEAST_MEMORY_LIMIT_MIB = 4.0, 1024
"""Limits are stated for compiled programs; TACO's own grader gives a Python program 4 s a test."""
NUMBER = re.compile(r"\d+(?:\.\d+)?")
MAX_INT_DIGITS = 4300
"""Python reads no longer whole number out of text; in a test on stdin it stays text."""


class UnusableTests(ValueError):
    """Why a problem's tests cannot be used, in a few words that counts are kept by."""


@dataclass(frozen=True)
class Tests:
    """Tests in this project's form; see `valley.data.problems.Problem`."""

    tests: list[dict[str, str]]
    function: str | None = None


def parse_input_output(given: Any) -> Tests:
    """The tests of an `input_output`: JSON, or the mapping that it spells.

    >>> parse_input_output('{"inputs": [["1 2", "3"]], "outputs": ["6\\\\n"]}').tests
    [{'input': '1 2\\n3', 'output': '6\\n'}]
    >>> parse_input_output('{"fn_name": "add", "inputs": [[1, 2]], "outputs": [[3]]}').tests
    [{'input': '1\\n2\\n', 'output': '3'}]

    Raises:
        UnusableTests: there is none, or it is not of this form.
    """
    if not given or (isinstance(given, str) and not given.strip()):
        raise UnusableTests("no tests")
    value = _read(given) if isinstance(given, str) else given
    if not isinstance(value, dict):
        raise UnusableTests("tests that are no mapping")
    return pair(value.get("inputs"), value.get("outputs"), value.get("fn_name"))


def _read(text: str) -> Any:
    try:
        value = json.loads(text, parse_int=_whole)
        if isinstance(value, dict) and value.get("fn_name"):
            value = json.loads(text)
        return value
    except (ValueError, RecursionError) as error:
        raise UnusableTests("tests that are not JSON") from error


def pair(inputs: Any, outputs: Any, function: str | None = None) -> Tests:
    """Tests out of the lists of their inputs and outputs.

    Raises:
        UnusableTests: these are not two lists of one length, a call's are not JSON, a program cannot
            be given them, or one that does nothing passes them all.
    """
    if not isinstance(inputs, list) or not isinstance(outputs, list) or not inputs:
        raise UnusableTests("no tests")
    if len(inputs) != len(outputs):
        raise UnusableTests("inputs and outputs of different numbers")
    if not function:
        tests = [
            {"input": _text(given), "output": _text(wanted)}
            for given, wanted in zip(inputs, outputs, strict=True)
        ]
        if not any(test["output"].strip() for test in tests):
            raise UnusableTests("tests that expect nothing")
        if any(_has_half_characters(text) for test in tests for text in test.values()):
            raise UnusableTests("half a character on stdin or stdout")
        return Tests(tests)
    if not isinstance(function, str) or not function.isidentifier() or iskeyword(function):
        raise UnusableTests("a function without a proper name")
    # One problem packs all of its results or none; a list of one may be the result itself.
    packed = all(isinstance(wanted, list) and len(wanted) == 1 for wanted in outputs)
    tests = [
        {"input": _arguments(given), "output": json.dumps(wanted[0] if packed else wanted)}
        for given, wanted in zip(inputs, outputs, strict=True)
    ]
    if all(test["output"] == "null" for test in tests):
        raise UnusableTests("tests that expect nothing")
    return Tests(tests, function)


def _has_half_characters(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _whole(digits: str) -> int | str:
    return int(digits) if len(digits) <= MAX_INT_DIGITS else digits


def _text(value: Any) -> str:
    """Text on stdin or stdout."""
    if isinstance(value, list):
        return "\n".join(_line(item) for item in value)
    return _line(value)


def _line(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(_line(item) for item in value)
    return "" if value is None else str(value)


def _arguments(given: Any) -> str:
    """A call's arguments, one JSON value a line."""
    if isinstance(given, str):
        try:
            given = [json.loads(line) for line in given.split("\n") if line.strip()]
        except (ValueError, RecursionError) as error:
            raise UnusableTests("a call's arguments that are not JSON") from error
    if not isinstance(given, list):
        raise UnusableTests("a call's arguments that are no list")
    return "".join(f"{json.dumps(argument)}\n" for argument in given)


def time_limit_s(stated: Any) -> float:
    """A time limit in seconds, at least LEAST_TIME_LIMIT_S; of a span, its end.

    >>> time_limit_s("0.5 - 5.0 seconds"), time_limit_s("7000 ms"), time_limit_s(None)
    (5.0, 7.0, 4.0)
    """
    text = str(stated).lower()
    numbers = [float(number) for number in NUMBER.findall(text)]
    unit = 1e-3 if re.search(r"\d\s*(ms|milli)", text) else 1.0
    return max([LEAST_TIME_LIMIT_S, *(number * unit for number in numbers)])


def memory_limit_mib(stated: Any) -> int:
    """A memory limit in MiB, at least LEAST_MEMORY_LIMIT_MIB, which Python's libraries may take.

    >>> memory_limit_mib("2 GB"), memory_limit_mib("256.0 megabytes"), memory_limit_mib("")
    (2048, 1024, 1024)
    """
    text = str(stated).lower()
    numbers = [float(number) for number in NUMBER.findall(text)]
    unit = 1.0
    if re.search(r"\d\s*(g|gb|gib|giga)", text):
        unit = 1024.0
    elif re.search(r"\d\s*(k|kb|kib|kilo)", text):
        unit = 1 / 1024
    elif re.search(r"\d\s*bytes", text):
        unit = 2.0**-20
    return max([LEAST_MEMORY_LIMIT_MIB, *(int(number * unit) for number in numbers)])
