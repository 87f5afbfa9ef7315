from __future__ import annotations

from dataclasses import replace

import pytest

from valley.data.problem_file import ProblemFile
from valley.data.problems import Problem
from valley.errors import UserError
from valley.records import write_records

PROBLEMS = [
    Problem(name, "test", "Größe?", [{"input": "é\n" * i, "output": str(i)}], date="2024-08-01")
    for i, name in enumerate(("one", "two", "drei"))
]


@pytest.fixture
def path(spaced):
    write_records(spaced / "problems.jsonl", PROBLEMS)
    return spaced / "problems.jsonl"


def test_problems_are_found_by_id_and_in_order(path):
    file = ProblemFile(path)
    assert list(file) == ["one", "two", "drei"] and len(file) == 3
    assert list(file.values()) == PROBLEMS
    assert file["drei"] == PROBLEMS[2] and "vier" not in file


def test_whether_a_problem_is_there_is_known_without_reading_it(path):
    file = ProblemFile(path)
    path.unlink()
    assert "one" in file and "vier" not in file


def test_a_problem_given_twice(path):
    write_records(path, [*PROBLEMS, PROBLEMS[0]])
    with pytest.raises(UserError, match="line 4: problem 'one' is given twice; line 1 has it too"):
        ProblemFile(path)


def test_what_makes_a_file_unusable_is_told_with_its_line(path):
    def check(problem):
        if problem.id == "two":
            raise UserError("not this one")

    with pytest.raises(UserError, match=r"problems\.jsonl, line 2: not this one"):
        ProblemFile(path, check)


def test_a_line_that_is_no_problem(path):
    path.write_text(path.read_text() + '{"schema": "valley.trace/1"}\n')
    with pytest.raises(UserError, match="line 4: schema"):
        ProblemFile(path)


def test_a_file_that_changes_under_the_reader_is_noticed(path):
    file = ProblemFile(path)
    write_records(path, [replace(problem, id=problem.id[::-1]) for problem in PROBLEMS])
    with pytest.raises(UserError, match="changed while it was read"):
        file["two"]
