from __future__ import annotations

import json
import re

import pytest

from valley.cluster.stints import Stint
from valley.data.held_out import HeldOutTrace
from valley.data.prepared import Lesson
from valley.data.problems import Problem
from valley.data.traces import Trace
from valley.errors import UserError
from valley.evaluate.samples import Sample, Verdict
from valley.records import parse_record, read_records, record_line, write_records

PROBLEM = Problem("p", "mine", "Add.", [{"input": "1\n", "output": "2\n"}])
TRACE = Trace("p/0", "p", "hm", "2")
SAMPLE = Sample("p", 0, 0, "2", "stop", 1, 1)
MISSING = object()
FAULTS = [
    (PROBLEM, "time_limit_s", "6s", "time_limit_s: found '6s'; expected a valid number"),
    (PROBLEM, "time_limit_s", True, "time_limit_s: found True; expected a valid number"),
    (PROBLEM, "time_limit_s", 0, "time_limit_s: found 0; expected a number above 0"),
    (PROBLEM, "time_limit_s", float("inf"), "time_limit_s: found inf; expected a number above 0"),
    (PROBLEM, "time_limit_s", float("nan"), "time_limit_s: found nan; expected a number above 0"),
    (PROBLEM, "memory_limit_mib", -1, "memory_limit_mib: found -1; expected 1 or more"),
    (PROBLEM, "memory_limit_mib", 1.5, "memory_limit_mib: found 1.5; expected a valid integer"),
    (PROBLEM, "compare", "token", "compare: found 'token'; expected a mapping"),
    (PROBLEM, "flags", "mine", "flags: found 'mine'; expected a list"),
    (PROBLEM, "id", 1, "id: found 1; expected a valid string"),
    (PROBLEM, "tests", None, "tests: found None; expected a list"),
    (PROBLEM, "tests", [{"input": "1"}], "tests[0].output: missing; it must be given"),
    (PROBLEM, "tests", [*PROBLEM.tests, {"output": "1"}], "tests[1].input: missing"),
    (PROBLEM, "tests", [{"input": 1, "output": "1"}], "tests[0].input: found 1; expected a valid"),
    (PROBLEM, "tests", ["1"], "tests[0]: found '1'; expected a mapping"),
    (PROBLEM, "difficulty", 1200, "difficulty: found 1200; expected a valid string"),
    (PROBLEM, "statement", MISSING, "statement: missing; it must be given"),
    (TRACE, "problem_id", MISSING, "problem_id: missing; it must be given"),
    (TRACE, "correct", "yes", "correct: found 'yes'; expected a valid boolean"),
    (TRACE, "correct", 1, "correct: found 1; expected a valid boolean"),
    (TRACE, "thinking", None, "thinking: found None; expected a valid string"),
    (TRACE, "difficulty", "simple", "difficulty 'simple' found, one of ('easy', 'medium', 'hard')"),
    (SAMPLE, "text", ["x"], "text: found ['x']; expected a valid string"),
    (SAMPLE, "completion_tokens", "5", "completion_tokens: found '5'; expected a valid integer"),
    (SAMPLE, "completion_tokens", -5, "completion_tokens: found -5; expected 0 or more"),
    (SAMPLE, "index", "0", "index: found '0'; expected a valid integer"),
    (SAMPLE, "seed", "a", "seed: found 'a'; expected a valid integer"),
    (SAMPLE, "finish_reason", MISSING, "finish_reason: missing; it must be given"),
    (SAMPLE, "schema", MISSING, 'each line needs "schema": "valley.sample/1"'),
]


@pytest.mark.parametrize(("record", "field", "value", "told"), FAULTS)
def test_a_wrong_value_is_told_with_its_line_and_its_field(spaced, record, field, value, told):
    values = json.loads(record_line(record)) | {field: value}
    line = json.dumps({k: v for k, v in values.items() if v is not MISSING})
    path = spaced / "records.jsonl"
    path.write_text(f"{record_line(record)}{line}\n")
    with pytest.raises(UserError, match=rf"records\.jsonl, line 2: .*{re.escape(told)}"):
        read_records(path, type(record))


def test_a_long_text_is_not_told_whole():
    line = record_line(TRACE).replace('"hm"', json.dumps(["x" * 1000])).encode()
    with pytest.raises(UserError) as error:
        parse_record("here", line, Trace)
    assert len(str(error.value)) < 200


RECORDS = [
    PROBLEM,
    Problem("p", "mine", "", [], "function", function="f", time_limit_s=6, compare={"rule": "x"}),
    TRACE,
    Trace("p/0", "p", "half \ud800", "2", False, "easy", "R1"),
    SAMPLE,
    Verdict("p", 0, "passed", None, 1, 1, 0, 0.5),
    Lesson("1", "2"),
    HeldOutTrace("p/0", "1", "2"),
    Stint(1, "here", "", 0.5, why="killed"),
]


@pytest.mark.parametrize("record", RECORDS)
def test_what_is_valid_is_written_back_as_it_was_read(spaced, record):
    """To the letter: a pool's digest is taken of its lines."""
    line = record_line(record)
    assert record_line(parse_record("here", line.encode(), type(record))) == line
    write_records(spaced / "records.jsonl", [record])
    assert read_records(spaced / "records.jsonl", type(record)) == [record]


def test_a_test_may_hold_more_than_it_must():
    tests = [{"input": "1", "output": "2", "weight": 3}]
    line = json.dumps(json.loads(record_line(PROBLEM)) | {"tests": tests})
    assert parse_record("here", line.encode(), Problem).tests == tests
