from __future__ import annotations

import gzip
import json
import os
import shutil

import pytest

from valley.data.config import JsonlConfig
from valley.data.problems import Problem
from valley.data.sources import pool_config, read_evaluation, read_pool
from valley.data.sources.pool_config import JsonlPool
from valley.data.traces import Trace
from valley.errors import UserError
from valley.records import record_line, write_records

TESTS = [{"input": "1\n", "output": "2\n"}]


@pytest.fixture
def config(spaced):
    problems = [Problem(f"p{i}", "mine", f"Print {i}.", TESTS) for i in range(3)]
    write_records(spaced / "asked.jsonl", problems[:1])
    write_records(spaced / "taught.jsonl", problems[1:])
    write_records(spaced / "traces.jsonl", [Trace(f"p{i}/0", f"p{i}", "hm", "2") for i in (1, 2)])
    return JsonlConfig(
        source="jsonl",
        evaluation=str(spaced / "asked.jsonl"),
        problems=str(spaced / "taught.jsonl"),
        traces=str(spaced / "traces.jsonl"),
    )


def test_both_sides_are_read_by_what_identifies_them(config):
    assert config.evaluation_size == 1 and config.pool_limit("all", "all") == 2
    evaluation = read_evaluation(config.evaluation_semantic(), config.execution())
    problems, traces, lessons = read_pool(config.pool_semantic(), config.execution())
    assert [p.id for p in evaluation] == ["p0"] and [p.id for p in problems] == ["p1", "p2"]
    assert [t.problem_id for t in traces] == ["p1", "p2"] and lessons == []


def test_a_file_is_known_by_its_content_alone(config, spaced, monkeypatch):
    monkeypatch.chdir(spaced)
    (spaced / "elsewhere").mkdir()
    for name in ("asked", "taught", "traces"):
        shutil.copy(spaced / f"{name}.jsonl", spaced / "elsewhere")
    copy = JsonlConfig(
        source="jsonl",
        data_seed=3,
        evaluation="elsewhere/asked.jsonl",
        problems="elsewhere/taught.jsonl",
        traces="elsewhere/traces.jsonl",
    )
    assert copy.execution()["traces"] == str(spaced / "elsewhere" / "traces.jsonl")
    assert copy.evaluation_semantic() == config.evaluation_semantic()
    assert copy.pool_semantic() == config.pool_semantic()


def test_a_side_changes_with_its_own_files_only(config, spaced):
    evaluation, pool = config.evaluation_semantic(), config.pool_semantic()
    with (spaced / "asked.jsonl").open("a") as file:
        file.write((spaced / "taught.jsonl").read_text().replace('"p1"', '"p9"'))
    assert config.evaluation_semantic() != evaluation and config.evaluation_size == 3
    assert config.pool_semantic() == pool
    evaluation = config.evaluation_semantic()
    write_records(spaced / "traces.jsonl", [Trace("p1/0", "p1", "", "3")])
    assert config.pool_semantic() != pool and config.evaluation_semantic() == evaluation


def test_a_file_that_did_not_change_is_read_once(config, spaced):
    before = config.pool_semantic()
    path = spaced / "traces.jsonl"
    stat = path.stat()
    # Another content of the same size and time can only go unseen if nobody looks.
    path.write_bytes(path.read_bytes().replace(b"hm", b"oh"))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert config.pool_semantic() == before
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert config.pool_semantic() != before


def test_a_file_that_changed_since_the_plan_is_refused_by_the_job(config, spaced):
    planned = config.pool_semantic()
    write_records(spaced / "traces.jsonl", [Trace("p1/0", "p1", "", "3")])
    with pytest.raises(UserError, match=r"data\.traces: .*traces\.jsonl has changed since the job"):
        read_pool(planned, config.execution())


RECORD = json.dumps({"schema": "valley.problem/1", "id": "é"}, ensure_ascii=False).encode()
BAD = {
    "missing": (None, r"data\.evaluation: .* cannot be read \(No such file"),
    "empty": (b"", r"asked\.jsonl is empty; expected valley\.problem/1 records"),
    "not UTF-8": (RECORD + b'\n{"id": "\xe9"}\n', r"line 2: not UTF-8 \(byte 0xe9 at 8\)"),
    "not JSON": (b"{]\n", r"line 1: not JSON"),
    "no object": (b"[1]\n", r"line 1: schema None found, 'valley\.problem/1' expected"),
    "another record": (
        b'{"schema": "valley.trace/1"}\n',
        r"line 1: schema 'valley\.trace/1' found, 'valley\.problem/1' expected",
    ),
    "compressed": (gzip.compress(RECORD), r"line 1: compressed by gzip; unpack it first"),
    "an empty line": (RECORD + b"\n\n" + RECORD, r"line 2: empty; expected one record a line"),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD.keys())
def test_files_that_cannot_be_what_they_are_said_to_be(config, spaced, content, message):
    path = spaced / "asked.jsonl"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    for look in (config.evaluation_semantic, lambda: config.evaluation_size):
        with pytest.raises(UserError, match=message):
            look()


def test_a_difficulty_of_another_source_is_refused_and_not_left_out_of_every_arm(config, spaced):
    trace = {
        "schema": "valley.trace/1",
        "id": "p1/0",
        "problem_id": "p1",
        "thinking": "",
        "answer": "",
    }
    (spaced / "traces.jsonl").write_text(json.dumps({**trace, "difficulty": "VERY_HARD"}) + "\n")
    with pytest.raises(UserError, match=r"line 1: trace 'p1/0': difficulty 'VERY_HARD' found"):
        read_pool(config.pool_semantic(), config.execution())


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (
            Trace("t", "p99", "", "2"),
            r"line 3: trace t: its problem 'p99' is not in the pool: no line ",
        ),
        (Trace("p1/0", "p2", "", "2"), r"line 3: trace p1/0: line 1 has a trace of this id too"),
    ],
)
def test_a_trace_that_fits_to_no_problem_or_is_there_twice_is_told_with_its_line(
    config, spaced, more, told
):
    with (spaced / "traces.jsonl").open("a") as file:
        file.write(record_line(more))
    with pytest.raises(UserError, match=rf"traces\.jsonl, {told}"):
        read_pool(config.pool_semantic(), config.execution())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"tests": []}, "line 2: problem 'p': no tests"),
        ({"compare": {"rule": "tokens"}}, "line 2: problem 'p': compare .* rule 'tokens' found"),
        ({"tests": [{"input": 1, "output": "2"}]}, r"line 2: tests\[0\]\.input: found 1"),
    ],
)
def test_an_evaluation_problem_that_cannot_be_graded_is_told_with_its_line(
    config, spaced, change, told
):
    line = json.dumps(json.loads(record_line(Problem("p", "mine", "Print 9.", TESTS))) | change)
    with (spaced / "asked.jsonl").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(UserError, match=rf"asked\.jsonl, {told}"):
        read_evaluation(config.evaluation_semantic(), config.execution())


LABELLED = [
    Trace(f"t{i}", "p1", thinking, "2", correct, level)
    for i, (level, correct, thinking) in enumerate(
        [
            ("easy", True, 'it says {"difficulty": "hard", "correct": false}'),
            ("easy", None, '\\\\"difficulty": "hard"'),
            ("hard", False, ""),
            (None, True, ""),
            (None, None, "null"),
        ]
    )
]


@pytest.mark.parametrize(
    ("difficulty", "correctness", "most"),
    [
        *(("all", "all", 5), ("easy", "all", 2), ("hard", "all", 1), ("medium", "all", 0)),
        *(("all", "correct", 4), ("all", "incorrect", 3), ("all", "unknown", 2)),
        *(("easy", "incorrect", 1), ("hard", "correct", 0)),
    ],
)
def test_arms_are_bounded_by_what_the_lines_say_and_not_by_their_texts(
    config, spaced, difficulty, correctness, most
):
    write_records(spaced / "traces.jsonl", LABELLED)
    assert config.pool_limit(difficulty, correctness) == most
    # In a corpus a trace without a difficulty has its problem's.
    pool = JsonlPool(source="jsonl", problems=config.problems, traces=config.traces)
    assert pool.at_most(difficulty, correctness) >= most
    assert pool.at_most("medium", "all") == 2


def test_labels_may_be_spaced_in_any_way_or_left_out(config, spaced):
    plain = {
        "schema": "valley.trace/1",
        "id": "a",
        "problem_id": "p1",
        "thinking": "",
        "answer": "",
    }
    labelled = {**plain, "difficulty": "easy", "correct": True}
    lines = [json.dumps(plain), json.dumps(labelled), json.dumps(labelled, separators=(",", ":"))]
    (spaced / "traces.jsonl").write_text("".join(f"{line}\n" for line in lines))
    assert config.pool_limit("easy", "correct") == 2 and config.pool_limit("all", "unknown") == 1


def test_a_large_file_of_a_corpus_is_not_read_by_planning(config, monkeypatch):
    pool = JsonlPool(source="jsonl", problems=config.problems, traces=config.traces)
    assert pool.at_most("all", "all") == 2
    monkeypatch.setattr(pool_config, "LOOKED_INTO_BYTES", 10)
    assert pool.at_most("all", "all") is None
