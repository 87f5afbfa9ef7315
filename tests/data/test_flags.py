from __future__ import annotations

from dataclasses import replace

import pytest

from valley.data.flags import LCB_ERRATA, flags_of
from valley.data.problems import Problem

PLAIN = Problem("p", "test", "Print the sum.", [{"input": "", "output": "1"}])


@pytest.mark.parametrize("name", LCB_ERRATA)
def test_the_errata_are_known_by_their_id_whatever_stands_before_it(name):
    for problem_id in (name, f"lcb/{name}", f"livecodebench/v5/{name}"):
        assert flags_of(replace(PLAIN, id=problem_id)) == ["lcb_errata"]
    assert flags_of(replace(PLAIN, id=f"{name}x")) == []


def test_there_are_as_many_errata_as_the_list_names():
    assert len(LCB_ERRATA) == 17


@pytest.mark.parametrize(
    "statement",
    [
        "If there are multiple answers, print any.",
        "If there are several possible solutions, you can output any one.",
        "If there is more than one\nsuch sequence, print any one of them",
        "It has an answer. If multiple solutions exist, you may print any",
        "You may return the answer in any order.",
        "Output the k numbers in any order.",
        "Among all optimal solutions print any.",
        "You are allowed to print any of the solutions",
        "Any valid answer will be accepted.",
        "This problem has a special judge.",
    ],
)
def test_statements_that_ask_for_a_special_judge(statement):
    problem = replace(PLAIN, statement=f"Given n. {statement} Good luck.")
    assert flags_of(problem) == ["special_judge"]
    # With a rule that takes every right answer there is nothing to doubt.
    for compare in ({"rule": "unordered"}, {"rule": "checker", "program": "x"}):
        assert flags_of(replace(problem, compare=compare)) == []


@pytest.mark.parametrize(
    "statement",
    [
        "Print YES if any of them is prime.",
        "The edges are given in any order. Print the sum.",
        "Find the number of ways. Output it modulo 7.",
        "In how many different ways can you do that? Print the answer.",
        "If there are many solutions, print the lexicographically smallest.",
        "Return true if any two are equal.",
        "You can print each letter in any case.",
    ],
)
def test_statements_that_do_not(statement):
    assert flags_of(replace(PLAIN, statement=statement)) == []


def test_flags_of_the_problem_itself_stay():
    problem = replace(PLAIN, id="abc311_c", flags=["mine", "lcb_errata"])
    assert flags_of(problem) == ["lcb_errata", "mine"]
