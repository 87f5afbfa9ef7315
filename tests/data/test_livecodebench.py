from __future__ import annotations

import json
import os

import pytest
from pydantic import ValidationError
from synthetic import lcb_row, packed, write_lcb, write_lines

from valley.data.sources.evaluation_config import LiveCodeBenchEvaluation
from valley.errors import UserError
from valley.evaluate.config import GradeConfig
from valley.evaluate.grade import check_programs


@pytest.fixture
def evaluation(spaced):
    def make(**settings):
        path = write_lcb(spaced / "lcb")
        return LiveCodeBenchEvaluation(source="livecodebench", **{"path": str(path), **settings})

    return make


def one(spaced, **changes):
    path = write_lines(spaced / "one" / "test.jsonl", [lcb_row(0), lcb_row(1, **changes)])
    settings = {"path": str(path.parent), "release": "v1"}
    return LiveCodeBenchEvaluation(source="livecodebench", **settings).open()


@pytest.mark.parametrize("release", [1, 2, 3, 4, 5, 6])
def test_a_release_is_the_union_of_its_files(evaluation, release):
    problems = list(evaluation(release=f"v{release}").open().problems())
    assert [p.id for p in problems] == [f"q{number}" for number in range(6 * release)]


def test_problems_are_as_they_were_set(evaluation):
    reader = evaluation().open()
    stdin, packed_tests, function = list(reader.problems())[:3]
    assert stdin.kind == packed_tests.kind == "stdin" and function.function == "add"
    assert stdin.tests == packed_tests.tests
    assert stdin.tests == [{"input": "1 2\n", "output": "3\n"}, {"input": "5 2\n", "output": "7\n"}]
    assert function.tests[1] == {"input": "5\n2", "output": "7"}
    assert function.starter_code.startswith("class Solution:")
    assert (stdin.difficulty, stdin.date, stdin.time_limit_s) == ("easy", "2024-01-15", 6.0)
    assert function.source == "livecodebench/leetcode"
    assert reader.counts() == {
        **{"rows": 36, "problems": 36},
        **{f"problems of {name}": 12 for name in ("atcoder", "codeforces", "leetcode")},
    }


def test_problems_can_be_graded(evaluation):
    stdin, _, function = list(evaluation().open().problems())[:3]
    programs = [
        (stdin, "print(sum(map(int, input().split())))"),
        (function, "class Solution:\n    def add(self, a, b):\n        return a + b"),
        (function, "def add(a, b):\n    return a - b"),
    ]
    statuses = [v.status for v in check_programs(programs, GradeConfig())]
    assert statuses == ["passed", "passed", "wrong_answer"]


def test_a_window_takes_both_of_its_days(evaluation):
    reader = evaluation(since="2024-03-15", until="2024-05-15").open()
    assert {p.date for p in reader.problems()} == {"2024-03-15", "2024-04-15", "2024-05-15"}
    assert reader.counts()["left out: outside the window"] == 27
    months = evaluation(since="2024-03", until="2024-05")
    assert (months.since, months.until) == ("2024-03-01", "2024-05-01")
    assert {p.date for p in months.open().problems()} == {"2024-03-15", "2024-04-15"}


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"since": "August"}, "found 'August'; expected a day"),
        ({"since": "2024-09", "until": "2024-08"}, r"since \(2024-09-01\) is after until"),
        ({"release": "v7"}, "release"),
    ],
)
def test_settings_that_cannot_be(evaluation, settings, message):
    with pytest.raises(ValidationError, match=message):
        evaluation(**settings)


def test_the_size_is_told_without_the_files():
    def size(**settings):
        return LiveCodeBenchEvaluation(source="livecodebench", path="nowhere", **settings).size

    assert size() == 1055 and size(release="v5") == 880
    # There are 279, and the months before had fewer contests.
    assert 200 < size(release="v5", since="2024-08", until="2025-02") < 300


def test_an_evil_pickle_is_refused_and_does_nothing(spaced):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch '{spaced / 'touched'}'",)

    for value in (Evil(), [Evil()], {"input": Evil()}):
        message = r"test\.jsonl, question q1: private_test_cases is refused: it names \w+\.system"
        with pytest.raises(UserError, match=message):
            list(one(spaced, private_test_cases=packed(value)).problems())
    assert not (spaced / "touched").exists()


WRONG = {
    "no base64": ({"private_test_cases": "é?"}, "private_test_cases is refused"),
    "nothing packed": ({"private_test_cases": "AAAA"}, "private_test_cases is refused"),
    "cut": ({"private_test_cases": packed("[]")[:-8]}, "private_test_cases is refused"),
    "null": ({"private_test_cases": None}, "private_test_cases is no text"),
    "no JSON": ({"public_test_cases": "[{]"}, "public_test_cases is not JSON"),
    "no list": ({"public_test_cases": "{}"}, "expected a list of mappings"),
    "no case": ({"private_test_cases": '[{"input": "1"}]'}, "expected a list of mappings"),
    "a number packed": ({"private_test_cases": packed(7)}, "expected a list of mappings"),
    "two kinds": (
        {"public_test_cases": json.dumps([{"input": "", "output": "", "testtype": "functional"}])},
        "testtype functional, stdin found",
    ),
    "no statement": ({"question_content": None}, "question_content is empty"),
    "no day": ({"contest_date": None}, "contest_date None found; expected a day"),
    "no tests": ({"public_test_cases": "[]", "private_test_cases": "[]"}, "testtype none found"),
}


@pytest.mark.parametrize("changes, message", WRONG.values(), ids=WRONG.keys())
def test_what_is_damaged_is_named(spaced, changes, message):
    with pytest.raises(UserError, match=rf"test\.jsonl, question q1: .*{message}"):
        list(one(spaced, **changes).problems())


@pytest.mark.parametrize("metadata", ["{}", "[]", '{"func_name": "a b"}'])
def test_a_function_must_have_a_name(spaced, metadata):
    write_lines(spaced / "one" / "test.jsonl", [lcb_row(2, metadata=metadata)])
    part = LiveCodeBenchEvaluation(source="livecodebench", path=str(spaced / "one"), release="v1")
    with pytest.raises(UserError, match="question q2: metadata names no function"):
        list(part.open().problems())


def test_a_question_that_stands_twice_is_taken_once(spaced):
    reader = one(spaced, question_id="q0")
    assert len(list(reader.problems())) == 1
    assert reader.counts()["left out: stands in an earlier file too"] == 1


def test_every_file_of_a_release_is_needed(evaluation, spaced):
    part = evaluation(release="v3")
    (spaced / "lcb" / "test2.jsonl").unlink()
    with pytest.raises(UserError, match=r"data\.evaluation: .*lcb.*expected: test2\.jsonl"):
        part.semantic()


def test_a_cut_file_and_a_missing_column_are_named_with_the_line(evaluation, spaced):
    part = evaluation(release="v2")
    path = spaced / "lcb" / "test2.jsonl"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(UserError, match=r"test2\.jsonl, line 6: not JSON"):
        list(part.open().problems())
    row = lcb_row(0)
    del row["metadata"]
    write_lines(path, [row])
    with pytest.raises(UserError, match=r"test2\.jsonl, line 1: column 'metadata' is missing"):
        list(part.open().problems())


def test_the_window_and_the_files_decide_and_the_folder_does_not(evaluation, spaced):
    semantic = evaluation().semantic()
    (spaced / "lcb").rename(spaced / "moved")
    moved = evaluation(path=str(spaced / "moved"))
    assert moved.semantic() == semantic
    assert evaluation(release="v5").semantic() != semantic
    assert evaluation(since="2024-03").semantic() != semantic
