from __future__ import annotations

import json

import pytest
from synthetic import TACO_LABELS, taco_row, write_parquet, write_stream

from valley.data.prepared import write_evaluation
from valley.data.sources.evaluation_config import TacoEvaluation
from valley.data.sources.pool_config import TacoTraces
from valley.data.traces import Trace
from valley.errors import UserError
from valley.records import write_records


@pytest.fixture
def rows():
    return [taco_row(number) for number in range(18)]


@pytest.fixture
def folder(spaced, rows):
    write_stream(spaced / "taco" / "train" / "data-00000-of-00001.arrow", rows)
    return spaced / "taco"


def evaluated(spaced, rows, **settings):
    write_parquet(spaced / "TACO" / "ALL" / "test" / "0000.parquet", rows)
    return TacoEvaluation(source="taco", path=str(spaced / "TACO"), **settings)


def test_problems_to_be_asked(spaced, rows):
    part = evaluated(spaced, rows)
    reader = part.open()
    problems = list(reader.problems())
    assert [p.id for p in problems] == [f"taco/test/{number}" for number in range(18)]
    assert reader.counts() == {"problems": 18} and part.size == 18


def test_some_difficulties_and_the_first_of_them(spaced, rows):
    reader = evaluated(spaced, rows, difficulties=["EASY", "HARD"], limit=5).open()
    assert [p.id for p in reader.problems()] == [f"taco/test/{n}" for n in (0, 3, 6, 9, 12)]
    assert reader.counts() == {"problems": 5, "left out: another difficulty": 8}


def test_what_cannot_be_graded_is_not_asked_and_counted(spaced, rows):
    rows[1]["input_output"] = "{"
    rows[2]["input_output"] = json.dumps({"inputs": [], "outputs": []})
    rows[3]["question"] = None
    rows[4]["question"] = rows[0]["question"]
    reader = evaluated(spaced, rows).open()
    assert len(list(reader.problems())) == 14
    assert reader.counts() == {
        "problems": 14,
        "left out: no usable tests": 2,
        "left out: the statement of an earlier row": 1,
        "problems without tests: taco/test: no tests": 1,
        "problems without tests: taco/test: tests that are not JSON": 1,
    }


def test_an_evaluation_set_without_any_problem_says_what_became_of_the_rows(spaced, rows):
    for row in rows:
        del row["input_output"]
    reader = evaluated(spaced, rows).open()
    (spaced / "job").mkdir()
    with pytest.raises(
        UserError, match=r"holds no problem \(left out: no usable tests: 18; problems"
    ):
        write_evaluation(spaced / "job", list(reader.problems()), reader.counts())


def test_call_based_problems_keep_their_function_and_starter_code(spaced):
    tests = {"fn_name": "add", "inputs": [[1, 2]], "outputs": [[3]]}
    row = taco_row(0, input_output=json.dumps(tests), starter_code="def add(a, b):\n\t")
    problem = next(evaluated(spaced, [row]).open().problems())
    assert problem.kind == "function" and problem.function == "add"
    assert problem.starter_code == "def add(a, b):\n\t"
    assert problem.tests == [{"input": "1\n2\n", "output": "3"}]


def test_traces_answer_rows_by_their_number(spaced, folder):
    traces = [Trace(f"t{n}", f"taco/train/{n}", "hm", "é", teacher="R1") for n in (3, 3, 17, 18)]
    write_records(spaced / "traces.jsonl", traces)
    part = TacoTraces(source="taco", path=str(folder), traces=str(spaced / "traces.jsonl"))
    reader = part.open()
    candidates = list(reader.candidates())
    assert [c.trace for c in candidates] == traces[:3]
    assert [c.label for c in candidates] == [TACO_LABELS[n % 6] for n in (3, 3, 17)]
    assert reader.counts() == {"rows": 4, "candidates": 3, "unresolved: no such problem": 1}
    wanted = {c.trace.problem_id for c in candidates}
    assert {p.id for p in reader.problems(wanted.__contains__)} == wanted


def test_without_traces_the_solutions_of_people_teach(folder):
    reader = TacoTraces(source="taco", path=str(folder), solutions_per_problem=2).open()
    candidates = list(reader.candidates())
    assert reader.counts() == {"rows": 18, "candidates": 36}
    assert len({c.trace.id for c in candidates}) == 36
    assert all(c.trace.thinking == "" and c.trace.teacher == "people" for c in candidates)
    assert candidates[0].trace.answer == ("```python\nprint(sum(map(int, input().split())))\n```")


def test_rows_without_a_solution_are_counted(spaced):
    rows = [taco_row(n, solutions=s) for n, s in enumerate((None, "", "[]", "[", '["", "x"]'))]
    write_parquet(spaced / "t" / "train.parquet", rows)
    reader = TacoTraces(source="taco", path=str(spaced / "t")).open()
    assert [c.trace.id for c in reader.candidates()] == ["taco/train/4/0"]
    assert reader.counts()["left out: rows without a solution"] == 4


def test_the_traces_are_part_of_what_decides_the_pool(spaced, folder):
    def semantic():
        return TacoTraces(
            source="taco", path=str(folder), traces=str(spaced / "traces.jsonl")
        ).semantic()

    with pytest.raises(UserError, match=r"data\.pool\.traces: .*traces\.jsonl is missing"):
        semantic()
    write_records(spaced / "traces.jsonl", [Trace("t", "taco/train/1", "", "1")])
    before = semantic()
    write_records(spaced / "traces.jsonl", [Trace("t", "taco/train/1", "", "2")])
    assert semantic() != before


def test_a_missing_column_is_named(spaced):
    row = taco_row(0)
    del row["question"]
    with pytest.raises(UserError, match=r"0000\.parquet: column 'question' is missing"):
        list(evaluated(spaced, [row]).open().problems())
