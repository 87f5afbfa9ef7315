"""Whether what a program gave is what was expected: rules that each problem carries as data.

| `compare`                               | what is right                                          |
|-----------------------------------------|--------------------------------------------------------|
| `{"rule": "exact"}`                     | equal text, but for white space at line ends and blank |
|                                         | lines at the end                                       |
| `{"rule": "token"}`, the default        | as many lines; in each, as many tokens; two tokens are |
|                                         | equal if they are the same text or exactly the same    |
|                                         | decimal number: 0.50 is 0.5, and 0.1 + 0.2 is not 0.3  |
| `{"rule": "float", "tolerance": 1e-6}`  | as `token`, and two numbers are equal within the       |
|                                         | tolerance, absolute or relative                        |
| `{"rule": "unordered", "of": "lines"}`  | the same lines, as `token` has them, in any order      |
| `{"rule": "unordered", "of": "tokens"}` | the same tokens in any order, on whatever lines        |
| `{"rule": "checker", "program": "…"}`   | what a program says: see `checker.py`                  |

`token` is after LiveCodeBench's `testing_util.py`, which wants all of a line's tokens to be numbers.

For function problems the same rules hold between JSON values: 1 equals 1.0, but true is not 1, and
text is only equal to itself. There `unordered` is of `items` (the default: those of the outermost list
in any order) or of `nested` (those of every list). What is unordered is a multiset: how often each item
is there counts. It knows no tolerance: which number would be held against which?
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from valley.data.problems import Problem
from valley.errors import UserError

KEYS = {
    "exact": set(),
    "token": set(),
    "float": {"tolerance"},
    "unordered": {"of"},
    "checker": {"program", "time_limit_s", "memory_limit_mib"},
}
"""What each rule may be told besides its name."""
UNORDERED = {"stdin": ("lines", "tokens"), "function": ("items", "nested")}
"""What may stand in any order, by a problem's kind; the first is the default."""
DEFAULT_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Comparison:
    """A problem's rule. `tolerance` counts for `float` only and `of` for `unordered`.

    `checker` is not among what is compared here: it has no more than its name.
    """

    rule: str
    tolerance: float = 0.0
    of: str = ""


def comparison(problem: Problem) -> Comparison:
    """Read a problem's `compare`.

    Raises:
        UserError: the rule is unknown, or not told what it must be.
    """
    given = dict(problem.compare)
    rule = given.pop("rule", None)
    where = f"problem {problem.id!r}: compare {str(problem.compare)[:200]}"
    if rule not in KEYS:
        raise UserError(f"{where}: rule {rule!r} found, one of {', '.join(KEYS)} expected")
    if unknown := sorted(given.keys() - KEYS[rule]):
        takes = ", ".join(f"`{key}`" for key in sorted(KEYS[rule])) or "nothing else"
        raise UserError(f"{where}: unknown key {unknown[0]!r}; `{rule}` takes {takes}")
    tolerance = given.get("tolerance", DEFAULT_TOLERANCE) if rule == "float" else 0.0
    if not isinstance(tolerance, int | float) or not 0 <= tolerance < 1:
        raise UserError(f"{where}: the tolerance must be a number of at least 0 and below 1")
    allowed = UNORDERED[problem.kind]
    of = given.get("of", allowed[0]) if rule == "unordered" else ""
    if rule == "unordered" and of not in allowed:
        raise UserError(
            f"{where}: of {of!r} found, one of {', '.join(allowed)} expected for a {problem.kind} "
            "problem"
        )
    return Comparison(rule, float(tolerance), of)


def same_text(compare: Comparison, expected: str, actual: str) -> bool:
    """Whether a program's stdout is right."""
    if compare.rule == "exact":
        return _trimmed(expected) == _trimmed(actual)
    if compare.of == "tokens":
        return _multiset(map(_token_key, expected.split())) == _multiset(
            map(_token_key, actual.split())
        )
    expected_lines, actual_lines = expected.strip().split("\n"), actual.strip().split("\n")
    if len(expected_lines) != len(actual_lines):
        return False
    if compare.of == "lines":
        return _multiset(map(_line_key, expected_lines)) == _multiset(map(_line_key, actual_lines))
    return all(_same_line(compare, a, b) for a, b in zip(expected_lines, actual_lines, strict=True))


def same_value(compare: Comparison, expected: Any, actual: Any) -> bool:
    """Whether a function's result is right; both are JSON values, nested to any depth."""
    if compare.rule == "unordered":
        deep = compare.of == "nested"
        try:
            return _value_key(expected, True, deep) == _value_key(actual, True, deep)
        except RecursionError:  # nested deeper than any right answer
            return False
    pairs = [(expected, actual)]
    while pairs:
        a, b = pairs.pop()
        if isinstance(a, list) and isinstance(b, list):
            if len(a) != len(b):
                return False
            pairs.extend(zip(a, b, strict=True))
        elif isinstance(a, dict) and isinstance(b, dict):
            if a.keys() != b.keys():
                return False
            pairs.extend((a[key], b[key]) for key in a)
        elif isinstance(a, bool) or isinstance(b, bool):
            if a is not b:
                return False
        elif isinstance(a, int | float) and isinstance(b, int | float):
            if not _same_number(compare, a, b):
                return False
        elif a != b:
            return False
    return True


def _trimmed(text: str) -> list[str]:
    lines = [line.rstrip() for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def _same_line(compare: Comparison, expected: str, actual: str) -> bool:
    if expected == actual:
        return True
    a, b = expected.split(), actual.split()
    return len(a) == len(b) and all(_same_token(compare, x, y) for x, y in zip(a, b, strict=True))


def _same_token(compare: Comparison, expected: str, actual: str) -> bool:
    if expected == actual or _token_key(expected) == _token_key(actual):
        return True
    try:
        return compare.rule == "float" and _same_number(compare, float(expected), float(actual))
    except ValueError:
        return False


def _same_number(compare: Comparison, expected: float, actual: float) -> bool:
    if expected == actual:
        return True
    try:
        return compare.rule == "float" and math.isclose(
            expected, actual, rel_tol=compare.tolerance, abs_tol=compare.tolerance
        )
    except OverflowError:  # an integer beyond any float
        return False


def _token_key(token: str) -> Hashable:
    """Equal for the same text and for exactly the same number."""
    try:
        number = Decimal(token)
    except InvalidOperation:
        return token
    # Finite ones only: a signalling NaN raises in a comparison, and no NaN equals itself.
    return number if number.is_finite() else token


def _line_key(line: str) -> Hashable:
    return tuple(map(_token_key, line.split()))


def _value_key(value: Any, unordered: bool, deep: bool) -> Hashable:
    """Equal for equal JSON values; `unordered` is of this list, `deep` of those below it."""
    if isinstance(value, list):
        items = [_value_key(item, deep, deep) for item in value]
        return ("list", _multiset(items) if unordered else tuple(items))
    if isinstance(value, dict):
        return ("dict", frozenset((k, _value_key(v, deep, deep)) for k, v in value.items()))
    # A truth is equal to its number in Python, and text to no number.
    return (type(value) is bool, value)


def _multiset(items: Iterable[Hashable]) -> frozenset[tuple[Hashable, int]]:
    return frozenset(Counter(items).items())
