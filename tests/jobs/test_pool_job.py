"""The prepare jobs of a corpus, from files of the published schemas to subsets."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from valley.cluster.element import run_job
from valley.data.index import read_index
from valley.store import Store
from valley.sweep import load_sweep
from valley.trail import trail

sys.path.append(str(Path(__file__).parent.parent / "data"))
from pools import training_texts
from synthetic import (
    lcb_row,
    places,
    write_lcb,
    write_lines,
    write_ocr2,
    write_questions,
)

GRID = """
name: real
students: {{tiny: {{source: tiny}}}}
data:
  source: corpus
  evaluation: {{source: livecodebench, path: {lcb}, release: v1}}
  pool: {{source: opencodereasoning2, path: {ocr2}, questions: {questions}}}
  correctness: {{by: pass_rate}}
  keep: {keep}
  clean: {clean}
grid:
  - {{size: 10, correctness: [correct, incorrect], data.select.match: [{{arms: [all/correct, all/incorrect], by: [source]}}]}}
"""


@pytest.fixture
def prepared(spaced):
    def prepare(keep="null", clean="{decontaminate: {}, duplicates: exact}"):
        grid = GRID.format(
            lcb=json.dumps(str(write_lcb(spaced / "lcb", releases=1))),
            ocr2=json.dumps(str(write_ocr2(spaced / "ocr2"))),
            questions=json.dumps(places(write_questions(spaced / "questions"))),
            keep=keep,
            clean=clean,
        )
        # One question of LiveCodeBench is row 3 of TACO, by its address.
        first = lcb_row(0) | {"platform": "codeforces", "question_id": "3_A"}
        write_lines(spaced / "lcb" / "test.jsonl", [first, *map(lcb_row, range(1, 6))])
        (spaced / "grid.yaml").write_text(grid)
        planned = trail(*load_sweep(spaced / "grid.yaml"))
        store = Store(spaced / "runs")
        for job in planned.jobs:
            if job.kind == "prepare" and job.slot != "student":
                assert run_job(store.lay(job, {**job.execution, "sandbox": "rlimits"})) == "made"
        train = planned.rows[0].train
        pool = train.inputs["pool"]
        return (
            planned,
            store.result("prepare", pool.identity),
            store.folders("prepare")[pool.identity[:16]],
        )

    return prepare


def test_a_corpus_becomes_a_pool_with_arms_a_card_and_matched_subsets(prepared):
    planned, result, folder = prepared()
    outcome = result["outcome"]
    assert outcome["pool_traces"] == outcome["read"]["candidates"] == 200
    assert outcome["removed"]["contaminated_problems"] >= 1
    listed = [json.loads(line) for line in (folder / "removed.jsonl").read_text().splitlines()]
    assert {
        "problem_id": "taco/train/3",
        "evaluation_id": "3_A",
        "reason": "same address",
    }.items() <= (next(line for line in listed if line.get("problem_id") == "taco/train/3").items())
    index = read_index(folder)
    assert index.removed.counts(~index.usable)["contaminated"] == sum(
        line["traces"] for line in listed if line["removed"] == "contaminated"
    )
    assert set(index.correct_by.counts(index.usable)) == {"", "pass_rate >= 1"}
    assert outcome["strata"]["all/unknown"] and outcome["strata"]["easy/all"]
    assert all((folder / f"card.{kind}").is_file() for kind in ("json", "md", "png"))
    assert outcome["read_from"]
    sources = []
    for row in planned.rows:
        record = folder / "subset.json"
        texts = training_texts(folder, row.train.config["select"], 0, record=record)
        said = json.loads(record.read_text())
        assert len(texts) == 10 and said["counts"]["correctness"] in (
            {"correct": 10},
            {"incorrect": 10},
        )
        sources.append(said["counts"]["source"])
    assert sources[0] == sources[1]


def test_a_bounded_pool_keeps_few_texts_and_knows_all_traces(prepared):
    _, result, folder = prepared(keep=5, clean="{}")
    outcome = result["outcome"]
    assert outcome["pool_traces"] == 200 and outcome["kept_traces"] < 60
    assert len((folder / "traces.jsonl").read_text().splitlines()) == outcome["kept_traces"]
    assert not (folder / "removed.jsonl").exists() and "removed" not in outcome
