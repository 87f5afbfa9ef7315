from __future__ import annotations

import pytest
from synthetic import write_lines, write_parquet

from valley.data.sources.pool_config import PaperPool
from valley.errors import UserError

THOUGHT = "<think>hm</think>\nprint('é')"


def pool(path, **settings):
    return PaperPool(source="paper", path=str(path), **settings)


CHATS = {
    "messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": THOUGHT},
    ],
    "conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": THOUGHT}],
}


@pytest.mark.parametrize("name", CHATS)
def test_chats(spaced, name):
    reader = pool(write_parquet(spaced / "train.parquet", [{name: CHATS[name]}])).open()
    (candidate,), (problem,) = list(reader.candidates()), list(reader.problems())
    assert (candidate.trace.thinking, candidate.trace.answer) == ("hm", "print('é')")
    assert problem.statement == "Why?" and problem.id == candidate.trace.problem_id
    assert not problem.tests


def test_columns_by_their_usual_names_or_named(spaced):
    path = write_lines(spaced / "a.jsonl", [{"prompt": "Q", "response": THOUGHT, "x": "y"}])
    assert next(pool(path).open().problems()).statement == "Q"
    named = pool(path, question="x", response="response", label_column="prompt").open()
    assert next(named.problems()).statement == "y"
    assert next(named.candidates()).label == "Q"


def test_columns_that_are_not_found_are_told(spaced):
    path = write_lines(spaced / "a.jsonl", [{"q": "Q", "a": THOUGHT}])
    message = (
        r"data\.pool: .*a\.jsonl has no column for the question .*there are: q, a\); name it by"
    )
    with pytest.raises(UserError, match=message):
        list(pool(path).open().candidates())


def test_the_grid_says_what_the_file_is(spaced):
    path = write_lines(spaced / "a.jsonl", [{"prompt": "Q", "response": THOUGHT}])
    stated = pool(path, difficulty="easy", correct=False, teacher="KAT-V1-40B")
    trace = next(stated.open().candidates()).trace
    assert (trace.difficulty, trace.correct, trace.teacher) == ("easy", False, "KAT-V1-40B")
    assert stated.semantic() != pool(path).semantic()


def test_rows_that_are_no_traces_are_counted_and_equal_ones_told_apart(spaced):
    rows = [{"prompt": "Q", "response": text} for text in (THOUGHT, THOUGHT, None, "<think>")]
    rows.append({"prompt": None, "response": THOUGHT})
    reader = pool(write_lines(spaced / "a.jsonl", rows)).open()
    candidates = list(reader.candidates())
    assert len({c.trace.id for c in candidates}) == 2 and len(list(reader.problems())) == 1
    assert reader.counts() == {
        **{"rows": 5, "candidates": 2, "left out: no question": 1},
        **{"left out: no generation": 1, "left out: thought without an end": 1},
    }
