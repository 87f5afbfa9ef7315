from __future__ import annotations

import json

import pytest
from pools import training_texts

from valley.data.prepared import training_set, write_pool
from valley.data.problems import Problem
from valley.data.traces import Trace
from valley.errors import UserError
from valley.evaluate.config import GradeConfig
from valley.records import digest

ALL = {"difficulty": "all", "correctness": "all"}


TESTS = [{"input": "", "output": ""}]
TRACES = [
    Trace(f"t{i}", f"p{i % 10}", f"step {i}\nstep", f"answer {i}", i % 3 > 0, "easy", "AB"[i % 2])
    for i in range(40)
]


@pytest.fixture
def pool(spaced):
    problems = [Problem(f"p{i}", "mine", f"Question {i}.", TESTS) for i in range(10)]
    write_pool(spaced, problems, TRACES, [], GradeConfig(), 1)
    return spaced


def test_a_subset_is_left_as_ids_with_a_digest(pool):
    record = pool / "subset.json"
    texts = training_texts(pool, {"size": 12, **ALL}, 3, record=record)
    said = json.loads(record.read_text())
    assert said["traces"] == len(said["ids"]) == len(texts) == 12
    assert said["provenance"]["data_seed"] == 3 and said["provenance"]["select"]["size"] == 12
    assert sum(said["counts"]["teacher"].values()) == 12
    assert said["counts"]["correct_by"] == {"source": 12}
    prompt, answer = texts[0]
    number = said["ids"][0].removeprefix("t")
    assert answer == f"<think>\nstep {number}\nstep\n</think>\nanswer {number}"
    assert f"Question {int(number) % 10}." in prompt
    again = pool / "again.json"
    training_texts(pool, {"size": 6, **ALL}, 3, record=again)
    smaller = json.loads(again.read_text())
    assert smaller["ids"] == said["ids"][:6] and smaller["digest"] != said["digest"]


def test_a_perturbed_set_is_of_the_same_traces(pool):
    chosen = {"size": 12, **ALL}
    perturbed = {**chosen, "controls": {"perturb": {"kind": "steps_shuffled"}}}
    plain = training_texts(pool, chosen, 0, record=pool / "plain.json")
    other = training_texts(pool, perturbed, 0, record=pool / "other.json")
    plain_said, other_said = (
        json.loads((pool / f"{n}.json").read_text()) for n in ("plain", "other")
    )
    assert plain_said["digest"] == other_said["digest"]
    assert plain_said["texts_digest"] != other_said["texts_digest"]
    assert [prompt for prompt, _ in plain] == [prompt for prompt, _ in other]
    assert other[0][1].startswith("<think>\nstep\nstep ")


def test_a_budget_of_tokens_is_the_longest_beginning_within_it(pool):
    def count(prompt, answer):
        return len((prompt + answer).split())

    def drawn(size):
        chosen = {"size": size, **ALL, "controls": {"size_in": "tokens"}}
        return training_texts(pool, chosen, 0, count_tokens=count)

    whole = training_texts(pool, {"size": 40, **ALL}, 0)
    total = sum(count(*text) for text in whole)
    assert drawn(total) == whole
    for size in (0, 50, 333):
        texts = drawn(size)
        assert texts == whole[: len(texts)]
        assert sum(count(*text) for text in texts) <= size
        assert sum(count(*text) for text in whole[: len(texts) + 1]) > size
    with pytest.raises(UserError, match=rf"size {total + 1} .*: {total} tokens are all/all"):
        drawn(total + 1)
    with pytest.raises(UserError, match="no tokenizer"):
        training_texts(pool, {"size": 5, **ALL, "controls": {"size_in": "tokens"}}, 0)


def test_a_teacher_that_is_not_there_has_no_traces(pool):
    chosen = {"size": 1, **ALL, "controls": {"teacher": "C"}}
    with pytest.raises(UserError, match="0 traces are all/all of teacher C"):
        training_texts(pool, chosen, 0)


def test_what_decides_the_texts_is_known_without_reading_them(pool):
    def decided_by(size=12, prompt="plain", data_seed=0, **controls):
        chosen = {"size": size, **ALL, "controls": controls}
        return training_set(pool, chosen, data_seed, prompt=prompt).decided_by

    shuffled, deleted = ({"kind": f"steps_{what}"} for what in ("shuffled", "deleted"))
    different = [
        decided_by(),
        decided_by(size=13),
        decided_by(data_seed=1),
        decided_by(prompt="opencodereasoning2"),
        decided_by(perturb=shuffled),
        decided_by(perturb=deleted),
    ]
    assert len(set(different)) == len(different)
    # However it was drawn, the same traces in the same order are the same texts.
    assert decided_by(traces_per_problem=9) == decided_by()
    traces = pool / "traces.jsonl"
    traces.rename(pool / "elsewhere")
    assert decided_by() == different[0]


def test_another_pool_of_the_same_ids_is_known_as_another(pool, spaced):
    before = training_set(pool, {"size": 40, **ALL}, 0).decided_by
    problems = [Problem(f"p{i}", "mine", f"Another {i}.", TESTS) for i in range(10)]
    write_pool(spaced, problems, TRACES, [], GradeConfig(), 1)
    assert training_set(spaced, {"size": 40, **ALL}, 0).decided_by != before


@pytest.mark.parametrize(
    ("prompt", "kind", "wanted"),
    [
        ("plain", None, "2df2f7986ecc5854"),
        ("opencodereasoning2", None, "f41b057cbfd1fb9d"),
        ("plain", "answer_corrupted", "e4d8dc6262a98090"),
        ("plain", "steps_shuffled", "314ee0e8b906c2da"),
        ("plain", "steps_deleted", "664888e7ff00f79c"),
    ],
)
def test_texts_are_these(pool, prompt, kind, wanted):
    """Where this fails, records have come to be other texts: raise `subset.TEXTS`."""
    controls = {"perturb": {"kind": kind}} if kind else {}
    chosen = training_set(pool, {"size": 40, **ALL, "controls": controls}, 0, prompt=prompt)
    assert digest(list(chosen.texts()))[:16] == wanted
