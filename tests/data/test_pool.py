from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pools import training_texts

from valley.data import grading
from valley.data.candidates import Candidate, everything
from valley.data.index import Index, read_index
from valley.data.pool import PoolSettings, PoolWriter
from valley.data.prepared import write_pool, write_streamed_pool
from valley.data.problems import Problem
from valley.data.select import rank, strata
from valley.data.traces import Trace
from valley.errors import UserError
from valley.evaluate.config import GradeConfig
from valley.records import read_records

LIMITS = GradeConfig()
ECHO = "```python\nprint(input())\n```"
SILENT = "```python\npass\n```"


class Listed:
    """A reader of candidates that are held in memory."""

    def __init__(self, problems: list[Problem], candidates: list[Candidate]) -> None:
        self._problems = problems
        self._candidates = candidates

    def problems(self, wanted=everything):
        return (problem for problem in self._problems if wanted(problem.id))

    def candidates(self):
        return iter(self._candidates)

    def counts(self):
        return {"rows": len(self._candidates)}


def problem(name: str, **fields) -> Problem:
    return Problem(
        **{
            "id": name,
            "source": "taco/train",
            "statement": f"Read a word and print it: {name}.",
            "tests": [{"input": "a\n", "output": "a\n"}],
            **fields,
        }
    )


def candidates(count: int, answer=lambda number: "a") -> list[Candidate]:
    """Traces of ten problems by two teachers; labels, pass rates and judgements vary."""
    return [
        Candidate(
            trace=Trace(
                f"t{i}", f"p{i % 10}", "x" * (i % 50 + 1), answer(i), teacher="AB"[i % 7 % 2]
            ),
            label=["EASY", "MEDIUM", "HARD", "UNKNOWN_DIFFICULTY", None][i % 5],
            pass_rate=[1.0, 0.5, None][i % 3],
            judgement=[True, False, None, True][i % 4],
            source="taco/train",
            question_id=None,
        )
        for i in range(count)
    ]


PROBLEMS = [problem(f"p{i}") for i in range(10)]


def write(folder: Path, listed: list[Candidate], problems=PROBLEMS, evaluation=(), **config):
    folder.mkdir(parents=True, exist_ok=True)
    pool = PoolSettings.model_validate({"correctness": {"by": "pass_rate"}, **config})
    writer = PoolWriter(folder, pool, LIMITS, config.get("workers", 1))
    return write_streamed_pool(writer, Listed(problems, listed), evaluation)


def by_id(index: Index) -> dict[str, tuple]:
    """What the index says of each trace, by its id."""
    return {
        name: (
            *(getattr(index, c).word(row) for c in ("problem", "difficulty", "teacher", "removed")),
            index.correct[row].item(),
            index.correct_by.word(row),
            index.kept[row].item(),
            index.duplicate_of.get(row),
        )
        for row, name in enumerate(index.ids)
    }


def test_labels_and_pass_rates_make_the_arms(spaced):
    outcome = write(
        spaced, candidates(60), difficulty={"by": "label"}, correctness={"by": "pass_rate"}
    )
    index = read_index(spaced)
    assert outcome["strata"] == strata(index)
    assert outcome["strata"]["easy/all"] == 24 and outcome["strata"]["hard/all"] == 12
    assert outcome["strata"]["all/correct"] == outcome["strata"]["all/unknown"] == 20
    assert outcome["pool_traces"] == 60 and outcome["pool_problems"] == 10
    assert by_id(index)["t1"] == ("p1", "easy", "B", None, 0, "pass_rate >= 1", True, None)
    assert by_id(index)["t3"][1] is None and by_id(index)["t2"][4:6] == (-1, None)
    kept = read_records(spaced / "traces.jsonl", Trace)
    assert [(t.id, t.difficulty, t.correct) for t in kept[:3]] == [
        ("t0", "easy", True),
        ("t1", "easy", False),
        ("t2", "hard", None),
    ]


def test_a_judge_and_a_threshold_decide_otherwise(spaced):
    judged = write(spaced / "j", candidates(60), correctness={"by": "judgement"})["strata"]
    assert [judged[f"all/{name}"] for name in ("correct", "incorrect", "unknown")] == [30, 15, 15]
    low = {"by": "pass_rate", "threshold": 0.5}
    assert write(spaced / "t", candidates(60), correctness=low)["strata"]["all/correct"] == 40


def test_thirds_of_the_lengths_and_mean_pass_rates_make_the_arms(spaced):
    thirds = write(spaced / "l", candidates(150), difficulty={"by": "trace_length"})["strata"]
    assert [thirds[f"{name}/all"] for name in ("easy", "medium", "hard")] == [51, 51, 48]
    listed = [
        replace(one, pass_rate={"p0": 1.0, "p1": 0.5, "p2": 0.0}.get(one.trace.problem_id))
        for one in candidates(50)
    ]
    rates = write(spaced / "r", listed, difficulty={"by": "pass_rate"})["strata"]
    assert [rates[f"{name}/all"] for name in ("easy", "medium", "hard")] == [5, 5, 5]


@settings(deadline=None, max_examples=25)
@given(
    count=st.integers(1, 60),
    keep=st.one_of(st.none(), st.integers(1, 12)),
    seed=st.integers(0, 2),
    shuffle=st.integers(0, 5),
)
def test_the_lowest_of_each_arm_are_kept_whatever_the_order(
    tmp_path_factory, count, keep, seed, shuffle
):
    folder = tmp_path_factory.mktemp("pools")
    listed = candidates(count)
    config = {"difficulty": {"by": "label"}, "keep": keep, "data_seed": seed}
    write(folder / "plain", listed, **config)
    write(folder / "shuffled", random.Random(shuffle).sample(listed, count), **config)
    index = read_index(folder / "plain")
    assert by_id(index) == by_id(read_index(folder / "shuffled"))
    for difficulty in ("all", "easy", "hard"):
        for correctness in ("all", "correct", "incorrect", "unknown"):
            rows = index.arm(difficulty, correctness).nonzero()[0].tolist()
            rows.sort(key=lambda row: rank(index.ids[row], seed))
            assert index.kept[rows[:keep]].all()
            if difficulty == correctness == "all" and keep:
                assert index.kept.sum() <= keep * 12
    assert not (folder / "plain" / "traces.spill").exists()


def test_subsets_are_read_from_a_bounded_pool_as_from_a_whole_one(spaced):
    listed = candidates(200)
    for name, keep in (("whole", None), ("bounded", 20)):
        write(spaced / name, listed, difficulty={"by": "label"}, keep=keep)
    chosen = {"size": 15, "difficulty": "hard", "correctness": "incorrect"}
    whole, bounded = (
        training_texts(spaced / name, {**chosen, "size": 10}, 0) for name in ("whole", "bounded")
    )
    assert whole == bounded and len(whole) == 10
    lines = (spaced / "bounded" / "traces.jsonl").read_text().splitlines()
    assert 20 <= len(lines) < 200
    chosen = {"size": 150, "difficulty": "all", "correctness": "all"}
    with pytest.raises(
        UserError, match=r"was not kept when the pool was prepared; raise data\.keep"
    ):
        training_texts(spaced / "bounded", chosen, 0)


def test_a_changed_file_of_traces_is_refused(spaced):
    write(spaced, candidates(20))
    path = spaced / "traces.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    lines[0], lines[10] = lines[10], lines[0]
    path.write_text("".join(lines))
    with pytest.raises(UserError, match=r"traces\.jsonl, byte \d+"):
        training_texts(spaced, {"size": 20, "difficulty": "all", "correctness": "all"}, 0)


def test_a_pool_of_an_earlier_version_has_no_index_and_is_read_all_the_same(spaced):
    write(spaced, candidates(30))
    chosen = {"size": 12, "difficulty": "all", "correctness": "correct"}
    # Such a pool knows correctness and difficulty by its traces alone.
    before = training_texts(spaced, {**chosen, "size": 8}, 0)
    (spaced / "index.parquet").unlink()
    assert training_texts(spaced, {**chosen, "size": 8}, 0) == before


def test_a_damaged_index_is_told(spaced):
    write(spaced, candidates(5))
    (spaced / "index.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(
        UserError, match=r"index\.parquet: cannot be read .* prepare the pool again"
    ):
        read_index(spaced)


def test_a_trace_that_stands_there_twice_is_refused(spaced):
    with pytest.raises(UserError, match="trace 't1' stands in the pool twice"):
        write(spaced, [*candidates(3), candidates(2)[1]])
    with pytest.raises(UserError, match="problem 'p2' of a trace is not in the pool"):
        write(spaced, candidates(3), PROBLEMS[:2])
    with pytest.raises(UserError, match="holds no trace"):
        write(spaced, [])


def test_only_what_is_kept_is_graded_and_the_rest_is_unknown(spaced):
    listed = candidates(20, lambda number: ECHO if number % 2 else SILENT)
    outcome = write(spaced, listed, correctness={"by": "grader"}, keep=6)
    index = read_index(spaced)
    assert outcome["strata"]["all/unknown"] == 14 and index.kept.sum() == 6
    for row, name in enumerate(index.ids):
        expected = int(name[1:]) % 2 if index.kept[row] else -1
        assert index.correct[row] == expected
        assert index.correct_by.word(row) == ("grader" if index.kept[row] else None)
    kept = read_records(spaced / "traces.jsonl", Trace)
    assert {t.id: t.correct for t in kept} == {t.id: bool(int(t.id[1:]) % 2) for t in kept}
    assert not (spaced / "graded.jsonl").exists()


def test_the_same_is_graded_by_any_number_of_workers(spaced):
    listed = candidates(6, lambda number: ECHO if number % 2 else SILENT)
    pools = []
    for workers in (1, 2):
        folder = spaced / str(workers)
        folder.mkdir()
        writer = PoolWriter(folder, PoolSettings(), LIMITS, workers)
        pools.append(write_streamed_pool(writer, Listed(PROBLEMS, listed)))
    assert pools[0] == pools[1] and pools[0]["strata"]["all/correct"] == 3


@pytest.mark.parametrize(
    "damage", ['{"id": "t4", "corr', "\0\0\0\n", '{"id": "t4"}\n', '{"id": "t4", "corr\n', "[]\n"]
)
def test_grading_goes_on_behind_the_last_batch(spaced, monkeypatch, damage):
    """What was graded before a stop is not graded again, and a line that was cut off or damaged is."""
    monkeypatch.setattr(grading, "BATCH_TRACES", 2)
    asked: list[str] = []
    status = "passed"

    def verdicts(problems, samples, config, *, workers):
        batch = [sample.problem_id for sample in samples]
        asked.extend(batch)
        if len(asked) > 4:
            raise UserError("stopped here")
        return [SimpleNamespace(status=status) for _ in batch]

    monkeypatch.setattr(grading, "grade", verdicts)
    with pytest.raises(UserError, match="stopped here"):
        write(spaced, candidates(8), correctness={"by": "grader"})
    with (spaced / "graded.jsonl").open("a") as file:
        file.write(damage)
    asked.clear()
    status = "wrong_answer"
    outcome = write(spaced, candidates(8), correctness={"by": "grader"})
    assert asked == ["p4", "p5", "p6", "p7"]
    assert outcome["strata"]["all/correct"] == outcome["strata"]["all/incorrect"] == 4


def test_traces_of_problems_without_tests_stay_unknown(spaced, caplog):
    problems = [problem("p0", tests=[]), problem("p1")]
    listed = candidates(2, lambda number: ECHO)
    strata = write(spaced, listed, problems, correctness={"by": "grader"})["strata"]
    assert strata["all/unknown"] == strata["all/correct"] == 1
    assert "1 of 2 traces stay of unknown correctness: their problems have no tests" in caplog.text


def test_problems_with_a_special_judge_can_be_left_out(spaced):
    problems = [problem("p0", flags=["special_judge"]), *PROBLEMS[1:]]
    listed = candidates(20)
    assert write(spaced / "kept", listed, problems)["strata"]["all/all"] == 20
    outcome = write(spaced / "left out", listed, problems, clean={"special_judge": "drop"})
    assert outcome["strata"]["all/all"] == 18
    assert outcome["removed"]["special_judge_problems"] == 1
    lines = (spaced / "left out" / "removed.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"removed": "special_judge", "problem_id": "p0", "traces": 2}
    ]
    names = {one.id for one in read_records(spaced / "left out" / "problems.jsonl", Problem)}
    assert names == {f"p{i}" for i in range(1, 10)}


@pytest.mark.parametrize("seed", range(3))
def test_of_duplicates_the_same_one_stays_whatever_the_order(spaced, seed):
    listed = [
        replace(one, trace=replace(one.trace, thinking=f"thought {i // 2}"))
        for i, one in enumerate(candidates(20))
    ]
    shuffled = random.Random(seed).sample(listed, 20)
    outcome = write(spaced, shuffled, clean={"duplicates": "exact"})
    assert outcome["removed"]["duplicate_traces"] == 10
    index = read_index(spaced)
    for row, other in index.duplicate_of.items():
        pair = {int(index.ids[row][1:]), int(other[1:])}
        assert {number // 2 for number in pair} == {min(pair) // 2} and len(pair) == 2
        assert rank(other, 0) < rank(index.ids[row], 0)
    assert strata(index)["all/all"] == 10 and index.kept.sum() == 10


def test_what_is_evaluated_leaves_the_pool_and_is_listed(spaced):
    asked = problem(
        "abc300_a", source="livecodebench", platform="atcoder", statement="Other words."
    )
    there = problem(
        "p0",
        url="https://atcoder.jp/contests/abc300/tasks/abc300_a",
    )
    outcome = write(
        spaced,
        candidates(20),
        [there, *PROBLEMS[1:]],
        evaluation=[asked],
        clean={"decontaminate": {}},
    )
    assert outcome["removed"]["contaminated_problems"] == 1 and outcome["pool_problems"] == 9
    line = json.loads((spaced / "removed.jsonl").read_text())
    assert line["problem_id"] == "p0" and line["evaluation_id"] == "abc300_a"
    assert line["reason"] == "same address" and line["traces"] == 2
    assert read_index(spaced).removed.counts(~read_index(spaced).usable) == {"contaminated": 2}


def test_a_pool_in_memory_is_written_as_it_always_was(spaced):
    """All of its problems are written, and its traces say themselves what they are."""
    traces = [
        Trace("a", "p0", "t", "x", True, "easy", "A"),
        Trace("b", "p0", "t", ECHO, None, "hard", "B"),
    ]
    outcome = write_pool(spaced, PROBLEMS, traces, [("ask", "answer")], LIMITS, 1)
    assert outcome["pool_problems"] == 10 and outcome["lessons"] == 1
    assert read_records(spaced / "problems.jsonl", Problem) == PROBLEMS
    assert read_records(spaced / "traces.jsonl", Trace) == [
        traces[0],
        replace(traces[1], correct=True),
    ]
    assert by_id(read_index(spaced))["a"][5] == "source"
    with pytest.raises(UserError, match="trace c: its problem 'p99' is not in the pool"):
        write_pool(spaced, PROBLEMS, [Trace("c", "p99", "", "", True)], [], LIMITS, 1)


@pytest.mark.parametrize("where", ["thinking", "id"])
@pytest.mark.parametrize("duplicates", [None, "near"])
def test_half_a_character_is_refused_by_the_pool(spaced, where, duplicates):
    listed = candidates(3)
    listed[1] = replace(listed[1], trace=replace(listed[1].trace, **{where: "x \ud83d"}))
    with pytest.raises(UserError, match=r"trace .*half of a character"):
        write(spaced, listed, clean={"duplicates": duplicates})
    whole = [
        replace(one, trace=replace(one.trace, thinking="x \U0001f600 \\ud83d")) for one in listed
    ]
    whole[1] = replace(whole[1], trace=replace(whole[1].trace, id="t1"))
    write(spaced / "whole", whole)


def test_half_a_character_of_a_statement_is_refused(spaced):
    problems = [problem(f"p{i}", statement=f"{i} \ude00") for i in range(10)]
    with pytest.raises(UserError, match=r"problem 'p0': half of a character"):
        write(spaced, candidates(10), problems)


def test_a_trace_of_nothing_is_refused(spaced):
    listed = candidates(3)
    listed[2] = replace(listed[2], trace=replace(listed[2].trace, thinking="", answer=""))
    with pytest.raises(UserError, match="trace t2: it has no thought and no answer"):
        write(spaced, listed)
