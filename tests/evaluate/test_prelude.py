"""Strict mode: what a function's program finds imported, and what of its result is taken as JSON."""

import pytest

from valley.data.problems import Problem
from valley.evaluate.config import GradeConfig
from valley.evaluate.grade import check_programs

CONFIG = GradeConfig()
CALL = [{"input": "[3, 1, 2]", "output": "[1, 2, 3]"}]
FUNCTION = Problem("f", "test", "", CALL, kind="function", function="f")
STDIN = Problem("s", "test", "", [{"input": "3 1 2", "output": "1 2 3"}])

RIGHT = {
    "annotations": "class Solution:\n    def f(self, xs: List[int]) -> Optional[List[int]]:\n        return sorted(xs)",
    "heapq": "def f(xs):\n    heapify(xs)\n    return [heappop(xs), heapq.heappop(xs), xs[0]]",
    "more modules": "def f(xs):\n    c = Counter(xs)\n    d = collections.defaultdict(int)\n"
    "    assert math.inf == inf and gcd(4, 6) == 2 and isinstance(deque(), collections.deque)\n"
    "    assert list(accumulate([1, 2])) == [1, 3] and reduce(operator.add, [1, 2]) == 3\n"
    "    assert bisect_left([1, 2], 2) == 1 and json.loads('1') == 1 and ascii_lowercase[0] == 'a'\n"
    "    @cache\n    def g(n): return n\n    return [g(x) for x in sorted(c)]",
    "builtins stay": "def f(xs):\n    assert pow(2, 3, 5) == 3 and abs(-1) == 1\n"
    "    assert open.__module__ in ('io', '_io')\n    return sorted(xs)",
    "its own names win": "def gcd(xs): return sorted(xs)\ndef f(xs): return gcd(xs)",
    "deep recursion": "def f(xs):\n    def down(n): return n and down(n - 1)\n    down(40000)\n    return sorted(xs)",
    "a tuple": "def f(xs): return tuple(sorted(xs))",
    "future": "from __future__ import annotations\ndef f(xs: Nothing): return sorted(xs)",
}


@pytest.mark.parametrize("name", RIGHT)
def test_functions_start_with_the_names_that_leetcode_provides(name):
    verdict = check_programs([(FUNCTION, RIGHT[name])], CONFIG)[0]
    assert verdict.status == "passed", verdict


def test_other_programs_start_with_none():
    program = "print(*sorted(input().split()))"
    programs = [(STDIN, f"{line}\n{program}") for line in ("x = math", "x: List = 1", "")]
    statuses = [v.status for v in check_programs(programs, CONFIG)]
    assert statuses == ["runtime_error", "runtime_error", "passed"]


def test_the_mode_of_the_run_before_changes_nothing():
    """One sandbox serves both: a stdin program after a function has no prelude either."""
    programs = [(FUNCTION, RIGHT["heapq"]), (STDIN, "print(*sorted(input().split()))\nheapq")]
    assert [v.status for v in check_programs(programs, CONFIG)] == ["passed", "runtime_error"]


# A class in place of NumPy's, which not every sandbox has: what counts is where its type says it is.
SCALAR = "class N:\n    def __init__(self, x): self.x = x\n    def tolist(self): return self.x\n"


@pytest.mark.parametrize(
    ("program", "status"),
    [
        ("N.__module__ = 'numpy'\ndef f(xs): return [N(x) for x in sorted(xs)]", "passed"),
        ("N.__module__ = 'numpy'\ndef f(xs): return N(sorted(xs))", "passed"),
        ("def f(xs): return [N(x) for x in sorted(xs)]", "runtime_error"),
        ("def f(xs): return {1, 2, 3}", "runtime_error"),
        ("def f(xs): return {x: 0 for x in xs}", "wrong_answer"),
    ],
)
def test_results_are_what_json_can_say_and_numpy_s_numbers(program, status):
    assert check_programs([(FUNCTION, SCALAR + program)], CONFIG)[0].status == status


def test_nested_tuples_count_as_lists_and_keys_as_texts():
    nested = Problem(
        "n",
        "test",
        "",
        [{"input": "2", "output": '[[0, [1]], {"1": 2}]'}],
        kind="function",
        function="f",
    )
    program = "def f(n): return ((0, (1,)), {1: n})"
    assert check_programs([(nested, program)], CONFIG)[0].status == "passed"
