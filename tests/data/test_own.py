from __future__ import annotations

import pytest

from valley.data.problems import Problem
from valley.data.sources.evaluation_config import JsonlEvaluation
from valley.data.sources.pool_config import JsonlPool
from valley.data.traces import Trace
from valley.errors import UserError
from valley.records import write_records

TESTS = [{"input": "1\n", "output": "2\n"}]


@pytest.fixture
def pool(spaced):
    problems = [Problem(f"p{i}", "mine", f"Print {i}.", TESTS, difficulty="C") for i in range(3)]
    write_records(spaced / "problems.jsonl", problems)
    traces = [Trace(f"t{i}", f"p{i}", "hm", "é", i == 0, "easy") for i in range(4)]
    write_records(spaced / "traces.jsonl", traces)
    paths = {name: str(spaced / f"{name}.jsonl") for name in ("problems", "traces")}
    return JsonlPool(source="jsonl", **paths)


def test_own_files_are_streamed(pool, spaced):
    reader = pool.open()
    candidates = list(reader.candidates())
    assert [c.trace.id for c in candidates] == ["t0", "t1", "t2"]
    assert reader.counts() == {"rows": 4, "candidates": 3, "unresolved: no such problem": 1}
    assert (candidates[0].trace.correct, candidates[0].trace.difficulty) == (True, "easy")
    assert (candidates[0].label, candidates[0].source) == ("C", "mine")
    assert [p.id for p in reader.problems({"p1"}.__contains__)] == ["p1"]
    asked = JsonlEvaluation(source="jsonl", path=str(spaced / "problems.jsonl"))
    assert asked.size == 3 and len(list(asked.open().problems())) == 3


def test_the_content_decides_and_a_missing_file_is_named(pool, spaced):
    before = pool.semantic()
    write_records(spaced / "traces.jsonl", [Trace("t", "p0", "", "1")])
    assert pool.semantic() != before and not pool.missing()
    (spaced / "traces.jsonl").unlink()
    assert pool.missing() == [f"{spaced / 'traces.jsonl'} is missing"]
    with pytest.raises(UserError, match=r"data\.pool\.traces: .*traces\.jsonl is missing"):
        pool.semantic()


def test_a_record_of_another_kind_is_named_by_its_line(pool, spaced):
    write_records(spaced / "traces.jsonl", [Problem("p", "mine", "x", TESTS)])
    with pytest.raises(UserError, match=r"traces\.jsonl, line 1: schema 'valley\.problem/1' found"):
        list(pool.open().candidates())
