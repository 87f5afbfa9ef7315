"""Whether what a program gave is what was expected: rules that each problem carries as data.

- `exact`: equal text, but for white space at line ends and blank lines at the end.
- `token` (the default): as many lines; in each, as many tokens; two tokens are equal if they are
  the same text or exactly the same decimal number, so that 0.50 is 0.5 and 0.1 + 0.2 is not 0.3.
  After LiveCodeBench's `testing_util.py`, which wants all of a line's tokens to be numbers.
- `float`: as `token`, and two numbers are equal within `tolerance`, absolute or relative.

For function problems the same rules hold between JSON values: 1 equals 1.0, but true is not 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from valley.data.problems import Problem
from valley.errors import UserError

RULES = ("exact", "token", "float")
DEFAULT_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Comparison:
    """A problem's rule. `tolerance` counts for `float` only, 0 otherwise."""

    rule: str
    tolerance: float


def comparison(problem: Problem) -> Comparison:
    """Read a problem's `compare`.

    Raises:
        UserError: the rule is unknown, or its tolerance is not between 0 and 1.
    """
    given = dict(problem.compare)
    rule = given.pop("rule", None)
    tolerance = given.pop("tolerance", DEFAULT_TOLERANCE) if rule == "float" else 0.0
    where = f"problem {problem.id!r}: compare {problem.compare!r}"
    if rule not in RULES:
        raise UserError(f"{where}: rule {rule!r} found, one of {', '.join(RULES)} expected")
    if given:
        raise UserError(f"{where}: unknown key {sorted(given)[0]!r}; `float` takes `tolerance`")
    if not isinstance(tolerance, int | float) or not 0 <= tolerance < 1:
        raise UserError(f"{where}: the tolerance must be a number of at least 0 and below 1")
    return Comparison(rule, float(tolerance))


def same_text(compare: Comparison, expected: str, actual: str) -> bool:
    """Whether a program's stdout is right."""
    if compare.rule == "exact":
        return _trimmed(expected) == _trimmed(actual)
    if expected.strip() == actual.strip():  # at once, as most right answers are
        return True
    expected_lines, actual_lines = expected.strip().split("\n"), actual.strip().split("\n")
    return len(expected_lines) == len(actual_lines) and all(
        _same_line(compare, a, b) for a, b in zip(expected_lines, actual_lines, strict=True)
    )


def same_value(compare: Comparison, expected: Any, actual: Any) -> bool:
    """Whether a function's result is right; both are JSON values, nested to any depth."""
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
    if expected == actual:
        return True
    try:
        a, b = Decimal(expected), Decimal(actual)
        # Finite ones only: a signalling NaN raises in a comparison.
        if a.is_finite() and b.is_finite() and a == b:
            return True
        return compare.rule == "float" and _same_number(compare, float(expected), float(actual))
    except (InvalidOperation, ValueError):
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
