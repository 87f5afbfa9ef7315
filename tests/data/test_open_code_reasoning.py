from __future__ import annotations

import doctest
import json
from collections import Counter

import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError
from synthetic import (
    all_rows,
    apps_row,
    codeforces_row,
    contest_row,
    ocr2_row,
    ocr_row,
    places,
    taco_row,
    write_lines,
    write_ocr2,
    write_parquet,
    write_questions,
)

from valley.data import candidates
from valley.data.candidates import counted
from valley.data.pool import PoolSettings, PoolWriter
from valley.data.sources import open_code_reasoning
from valley.data.sources.open_code_rows import split_thought
from valley.data.sources.pool_config import OpenCodeReasoning2Pool, OpenCodeReasoningPool
from valley.errors import UserError
from valley.evaluate.config import GradeConfig
from valley.evaluate.grade import grade
from valley.evaluate.samples import Sample


@pytest.fixture
def questions(spaced):
    return places(write_questions(spaced))


@pytest.fixture
def pool(spaced, questions):
    def make(change=lambda row: None, **settings):
        path = write_ocr2(spaced / "ocr2", rows=60, change=change)
        settings = {"questions": questions, "path": str(path), **settings}
        return OpenCodeReasoning2Pool(source="opencodereasoning2", **settings)

    return make


def change_at(**changes):
    """Change some rows, by their number: `change_at(_3={"index": "x"})`."""
    by_id = {f"{int(key[1:]):032x}": change for key, change in changes.items()}
    return lambda row: row.update(by_id.get(row["id"], {}))


def test_the_examples_hold():
    assert doctest.testmod(open_code_reasoning).failed == 0
    assert doctest.testmod(candidates).failed == 0


def test_every_row_becomes_a_candidate_of_a_problem_that_is_there(pool, spaced):
    reader = pool().open()
    candidates = list(reader.candidates())
    rows = list(all_rows(spaced / "ocr2"))
    assert [c.trace.id for c in candidates] == [row["id"] for row in rows]
    assert reader.counts() == {"rows": 60, "candidates": 60}
    problems = {problem.id: problem for problem in reader.problems()}
    for candidate, row in zip(candidates, rows, strict=True):
        problem = problems[candidate.trace.problem_id]
        assert candidate.source == problem.source
        assert problem.id.endswith(f"/train/{row['index']}")
        assert candidate.label == row["difficulty"] and candidate.question_id == row["question_id"]
        assert candidate.judgement is (row["judgement"] == "right")
        expected = None if row["pass_rate"] == "-1" else float(row["pass_rate"])
        assert candidate.pass_rate == expected
        assert candidate.trace.thinking in row["r1_generation"]
        assert candidate.trace.correct is None and candidate.trace.difficulty is None


def test_statements_are_those_of_the_rows(pool):
    problems = {problem.id: problem for problem in pool().open().problems()}
    assert problems["taco/test/3"].statement == taco_row(3)["question"]
    assert problems["apps/train/7"].statement == apps_row(7)["question"]
    # Row 12 stands in the second of two shards.
    assert problems["code_contests/train/12"].statement == contest_row(12)["description"]
    assert problems["codeforces/train/7"].statement == (
        f"{codeforces_row(7)['description']}\n\nInput\n\nTwo numbers.\n\nOutput\n\nTheir sum."
        "\n\nExamples\n\nInput\n\n1 2\n\nOutput\n\n3\n\nNote\n\nNo trick."
    )


def test_tests_labels_and_limits_are_taken_over(pool):
    problems = {problem.id: problem for problem in pool().open().problems()}
    contest = problems["code_contests/train/3"]
    assert [test["output"] for test in contest.tests] == ["3\n", "7\n", "11\n"]
    assert contest.time_limit_s == 5.5 and contest.memory_limit_mib == 2048
    assert [test["input"] for test in problems["codeforces/test/0"].tests] == ["1 2", "3 4"]
    assert problems["taco/train/5"].difficulty == "UNKNOWN_DIFFICULTY"
    assert problems["taco/train/1"].date == "2019-12-31"


def test_traces_can_be_graded_on_their_problems(pool):
    reader = pool().open()
    candidates = list(reader.candidates())[:24]
    problems = list(reader.problems({c.trace.problem_id for c in candidates}.__contains__))
    samples = [
        Sample(c.trace.problem_id, i, 0, c.trace.answer, "stop", 0, 0)
        for i, c in enumerate(candidates)
    ]
    verdicts = grade(problems, samples, GradeConfig(), workers=2)
    assert [v.status == "passed" for v in verdicts] == [c.judgement for c in candidates]


def test_only_wanted_problems_are_read(pool):
    reader = pool().open()
    assert [p.id for p in reader.problems({"apps/train/4"}.__contains__)] == ["apps/train/4"]


def test_a_pool_without_any_trace_says_what_became_of_the_rows(pool, questions, spaced):
    rows = {"rows": 60, "candidates": 0, "unresolved: taco is not given": 60}
    source = pool(lambda row: row.update(dataset="taco"), questions={"apps": questions["apps"]})
    settings = PoolSettings.model_validate({"correctness": {"by": "judgement"}})
    with pytest.raises(UserError, match="the pool holds no trace") as raised:
        PoolWriter(spaced, settings, GradeConfig()).write(source.open())
    assert str(raised.value) == f"the pool holds no trace{counted(rows)}"


def test_a_pool_whose_questions_are_nowhere_is_refused(pool):
    with pytest.raises(ValidationError, match=r"questions: none given.*one or more of taco, apps"):
        pool(questions={})


UNRESOLVED = {
    "no number": ({"index": "x"}, "apps/train: index that is no number"),
    "null": ({"index": None}, "apps/train: index that is no number"),
    "beyond": ({"index": "20"}, "apps/train: index beyond its 20 rows"),
    "negative": ({"index": "-1"}, "apps/train: index beyond its 20 rows"),
    "unknown set": ({"dataset": "leetcode"}, "unknown data set 'leetcode'"),
    "no set": ({"dataset": None}, "unknown data set ''"),
    "unknown split": ({"split": "valid"}, "apps has no split 'valid'"),
    "split that is not there": (
        {"dataset": "code_contests", "split": "valid"},
        "code_contests/valid is not there",
    ),
}


@pytest.mark.parametrize("change, why", UNRESOLVED.values(), ids=UNRESOLVED.keys())
def test_a_row_that_is_not_resolved_is_counted_by_reason(pool, change, why):
    reader = pool(change_at(_1=change, _5=change)).open()
    assert len(list(reader.candidates())) == 58
    assert reader.counts() == {"rows": 60, "candidates": 58, f"unresolved: {why}": 2}


def test_a_set_that_is_not_given_is_counted(pool, questions):
    del questions["apps"], questions["codeforces"]
    reader = pool(questions=questions).open()
    assert {c.source for c in reader.candidates()} == {"taco/train", "code_contests/train"}
    assert reader.counts() == {
        "rows": 60,
        "candidates": 30,
        "unresolved: apps is not given": 15,
        "unresolved: codeforces is not given": 15,
    }


def test_a_question_without_a_statement_is_counted(pool, questions, spaced):
    rows = [contest_row(number, description="" if number == 2 else "x") for number in range(20)]
    write_parquet(spaced / "other" / "train.parquet", rows)
    questions["code_contests"] = {"path": str(spaced / "other")}
    reader = pool(questions=questions).open()
    list(reader.candidates())
    assert reader.counts()["unresolved: code_contests/train: row without a statement"] == 1


def test_questions_in_another_order_leave_a_sign(pool, questions, spaced):
    rows = [taco_row(number) for number in reversed(range(20))]
    write_parquet(spaced / "other" / "train.parquet", rows)
    questions["taco"] = {"path": str(spaced / "other")}
    reader = pool(questions=questions).open()
    list(reader.candidates())
    assert reader.counts()["doubtful: taco/train: not its question's difficulty"] == 15


LEFT_OUT = {
    "null": (None, "no generation"),
    "blank": (" \n", "no generation"),
    "unfinished": ("<think>hm", "thought without an end"),
    "unanswered": ("<think>hm</think>\n", "no answer after the thought"),
}


@pytest.mark.parametrize("text, why", LEFT_OUT.values(), ids=LEFT_OUT.keys())
def test_what_is_no_whole_trace_is_counted(pool, text, why):
    reader = pool(change_at(_7={"r1_generation": text})).open()
    assert len(list(reader.candidates())) == 59
    assert reader.counts() == {"rows": 60, "candidates": 59, f"left out: {why}": 1}


def test_thoughts_and_answers():
    assert split_thought("hm</think>2") == (("hm", "2"), "")  # the opening was in the prompt
    assert split_thought("<think>a</think>b</think>c") == (("a</think>b", "c"), "")
    assert split_thought("print(é)") == (("", "print(é)"), "")


@pytest.mark.parametrize("value", [None, "", "-1", "-1.0", "-"])
def test_sentinels_of_the_pass_rate_are_unknown(pool, value):
    reader = pool(change_at(_1={"pass_rate": value})).open()
    assert list(reader.candidates())[1].pass_rate is None
    assert reader.counts() == {"rows": 60, "candidates": 60}


def test_labels_that_cannot_be_are_unknown_and_counted(pool):
    bad = {"pass_rate": "1.5", "judgement": "perhaps"}
    reader = pool(change_at(_1=bad, _2={"pass_rate": "x", "judgement": None})).open()
    candidates = list(reader.candidates())
    assert [(c.pass_rate, c.judgement) for c in candidates[1:3]] == [(None, None)] * 2
    assert reader.counts()["unknown: pass_rate that is no fraction"] == 2
    assert reader.counts()["unknown: judgement that is neither right nor wrong"] == 1


def rewritten(folder, change):
    for path in folder.rglob("*.parquet"):
        pq.write_table(change(pq.read_table(path)), path)


def test_an_old_revision_without_pass_rates_in_the_old_layout(pool, spaced):
    part = pool()
    rewritten(spaced / "ocr2", lambda table: table.drop_columns(["pass_rate"]))
    old = spaced / "old" / "python" / "train"
    old.mkdir(parents=True)
    for path in (spaced / "ocr2").rglob("*.parquet"):
        path.rename(old / path.name)
    reader = part.model_copy(update={"path": str(spaced / "old")}).open()
    candidates = list(reader.candidates())
    assert len(candidates) == 60 and all(c.pass_rate is None for c in candidates)
    assert any(c.judgement for c in candidates)


def test_a_column_that_is_needed_is_named(pool, spaced):
    part = pool()
    rewritten(spaced / "ocr2", lambda table: table.drop_columns(["index"]))
    with pytest.raises(
        UserError, match=r"train-00000-of-00002\.parquet: column 'index' is missing"
    ):
        list(part.open().candidates())


def test_a_cut_shard_is_named(pool, spaced):
    part = pool()
    path = spaced / "ocr2/train/python/train-00001-of-00002.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(
        UserError, match=r"train-00001-of-00002\.parquet is damaged.*fetch it again"
    ):
        list(part.open().candidates())


def test_what_is_not_ascii_comes_through(pool):
    text = "<think>né — ≤ 日本 🜚</think>\n```python\nprint('é')\n```"
    trace = next(pool(change_at(_0={"r1_generation": text})).open().candidates()).trace
    assert trace.thinking == "né — ≤ 日本 🜚" and "print('é')" in trace.answer


def test_half_a_character_in_json_lines_is_refused(pool, spaced):
    source = pool()
    rows = list(all_rows(spaced / "ocr2"))
    rows[3]["r1_generation"] = "<think>well \ud800</think>42"
    path = spaced / "lines" / "python.jsonl"
    path.parent.mkdir()
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = PoolSettings.model_validate({"correctness": {"by": "judgement"}})
    writer = PoolWriter(spaced, settings, GradeConfig())
    with pytest.raises(UserError, match=f"trace '{rows[3]['id']}': half of a character"):
        writer.write(source.model_copy(update={"path": str(path.parent)}).open())


def test_rows_without_an_id_go_by_what_they_hold(pool):
    def nameless(row):
        row["id"] = None

    ids = [c.trace.id for c in pool(nameless).open().candidates()]
    assert len(set(ids)) == 60
    assert ids == [c.trace.id for c in pool(nameless).open().candidates()]


def test_problems_whose_tests_cannot_be_used_have_none_and_are_counted(pool, questions, spaced):
    rows = [
        codeforces_row(0, input_mode="file"),
        codeforces_row(1, interaction_format="talk"),
        codeforces_row(2, generated_checker="check"),
        codeforces_row(3, official_tests=None, examples=None),
        codeforces_row(4, note=None, time_limit=None, official_tests=None),
    ]
    write_parquet(spaced / "other" / "train.parquet", rows)
    questions["codeforces"] = {"path": str(spaced / "other")}
    source = pool(questions=questions)
    reader = source.open()
    wanted = {f"codeforces/train/{number}" for number in range(5)}
    problems = list(reader.problems(wanted.__contains__))
    assert [len(problem.tests) for problem in problems] == [0, 0, 0, 0, 1]
    told = {key: n for key, n in reader.counts().items() if key.startswith("problems without")}
    assert told == {
        f"problems without tests: codeforces/train: {why}": 1
        for why in ("interactive", "needs a special judge", "no tests", "reads or writes a file")
    }
    said = PoolWriter(
        spaced, PoolSettings.model_validate({"correctness": {"by": "judgement"}}), GradeConfig()
    ).write(source.open())["read"]
    assert {key: n for key, n in said.items() if key.startswith("problems without")} == told


@pytest.fixture
def first_release(spaced, questions):
    zero = [ocr_row(number) for number in range(20)]
    one = [ocr_row(n, input="-", index=ocr2_row(n)["index"]) for n in range(20, 40)]
    write_parquet(spaced / "ocr" / "split_0" / "train-00000-of-00001.parquet", zero)
    write_parquet(spaced / "ocr" / "split_1" / "train-00000-of-00001.parquet", one)
    return OpenCodeReasoningPool(
        source="opencodereasoning", path=str(spaced / "ocr"), questions=questions
    )


def test_the_first_release_repeats_its_questions_or_refers_to_them(first_release):
    reader = first_release.open()
    candidates = list(reader.candidates())
    assert reader.counts() == {"rows": 40, "candidates": 40}
    assert len({c.trace.id for c in candidates}) == 40
    problems = {problem.id: problem for problem in reader.problems()}
    repeated = [problems[c.trace.problem_id] for c in candidates[:20]]
    assert [p.statement for p in repeated] == [ocr_row(number)["input"] for number in range(20)]
    assert len({p.id for p in repeated}) == 10 and not any(p.tests for p in repeated)
    referred = Counter(c.trace.problem_id.partition("/")[0] for c in candidates[20:])
    assert referred == {"taco": 5, "apps": 5, "code_contests": 5, "codeforces": 5}


def test_one_split_of_the_first_release(first_release):
    one = first_release.model_copy(update={"splits": ["split_1"]})
    assert len(list(one.open().candidates())) == 20
    assert one.semantic() != first_release.semantic()


def test_json_lines_of_the_first_release(spaced, questions):
    write_lines(spaced / "rows.jsonl", [ocr_row(number) for number in range(6)])
    part = OpenCodeReasoningPool(source="opencodereasoning", path=str(spaced / "rows.jsonl"))
    assert len(list(part.open().candidates())) == 6


def test_the_generator_writes_the_published_columns():
    assert set(ocr2_row(0)) == set(open_code_reasoning.OpenCodeReasoning2.COLUMNS) | {
        *open_code_reasoning.OpenCodeReasoning2.OPTIONAL,
        *("question", "qwq_critique", "solution", "source", "license"),
    }
