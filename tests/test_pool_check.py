"""`data.select` and `data.clean` in the jobs of a plan, and sizes held against pools."""

from __future__ import annotations

import pytest

from valley.errors import UserError
from valley.job_file import identity_of
from valley.pool_check import Pool, check_pool
from valley.sweep import load_sweep
from valley.trail import trail

GRID = """
name: test
students: {tiny: {source: tiny}}
data: {source: tiny, pool_traces: 1000}
train: {batch_size: 16, micro_batch_size: 8}
preview: {tokens_per_trace: 100}
grid:
"""
MATCH = "{arms: [all/correct, all/incorrect], by: [length]}"


@pytest.fixture
def make(spaced):
    def planned(block, *settings):
        (spaced / "grid.yaml").write_text(f"{GRID}  - {block}\n")
        return trail(*load_sweep(spaced / "grid.yaml", list(settings)))

    return planned


def trains(planned):
    return [row.train for row in planned.rows]


def identities(planned):
    return {job.identity for job in planned.jobs}


def test_what_is_left_at_its_default_is_no_part_of_any_identity(make):
    plain = make("{size: 8}")
    assert "controls" not in trains(plain)[0].config["select"]
    for spelled in ("data.select={}", "data.select={unit: trace, match: null}", "data.clean={}"):
        assert identities(make("{size: 8}", spelled)) == identities(plain)


def test_how_a_set_is_drawn_trains_anew_and_prepares_nothing(make):
    plain, capped = make("{size: 8}"), make("{size: 8}", "data.select.traces_per_problem=1")
    new = {job.identity for job in capped.jobs} - identities(plain)
    assert {job.kind for job in capped.jobs if job.identity in new} == {
        "train",
        "generate",
        "grade",
    }


def test_what_leaves_the_pool_prepares_it_anew(make):
    plain, cleaned = make("{size: 8}"), make("{size: 8}", "data.clean.duplicates=exact")
    assert not {t.identity for t in trains(plain)} & {t.identity for t in trains(cleaned)}
    pool = trains(cleaned)[0].inputs["pool"]
    assert pool.config["pool"]["clean"] == {"duplicates": "exact"} and not pool.inputs
    asked = make("{size: 8}", "data.clean.decontaminate={}")
    assert list(trains(asked)[0].inputs["pool"].inputs) == ["evaluation"]
    other = make("{size: 8}", "data.clean.decontaminate={}", "data.evaluation_problems=7")
    assert trains(asked)[0].identity != trains(other)[0].identity


def test_a_match_is_part_of_the_arms_that_it_names(make):
    block = "{size: 8, correctness: [all, correct, incorrect]}"
    plain, matched = trains(make(block)), trains(make(block, f"data.select.match={MATCH}"))
    assert [a.identity == b.identity for a, b in zip(plain, matched, strict=True)] == [
        True,
        False,
        False,
    ]


def test_identities_with_controls_are_exact(make):
    planned = make(f"{{size: 8, correctness: correct, data.select.match: [{MATCH}]}}")
    for job in planned.jobs:
        inputs = {role: parent.identity for role, parent in job.inputs.items()}
        assert job.identity == identity_of(job.kind, job.config, inputs)


def test_a_teacher_is_an_axis(make):
    planned = make("{size: 8, data.select.teacher: [A, B]}")
    assert [row.cell.axes["data.select.teacher"] for row in planned.rows] == ["A", "B"]
    assert [t.config["select"]["controls"] for t in trains(planned)] == [
        {"teacher": "A"},
        {"teacher": "B"},
    ]


@pytest.mark.parametrize(
    ("select", "examples"),
    [
        ("{}", 700),
        ("{unit: problem, size_in: problems, traces_per_problem: 2}", 1400),
        ("{size_in: tokens}", 7),
        ("{size_in: characters}", 2),
    ],
)
def test_the_plan_counts_about_so_many_examples(make, select, examples):
    assert trains(make("{size: 700}", f"data.select={select}"))[0].examples == examples


def test_unknown_correctness_is_an_arm(make):
    (train,) = trains(make("{size: 8, correctness: unknown}"))
    assert train.config["select"]["correctness"] == "unknown"
    with pytest.raises(UserError, match="0 traces are all/unknown"):
        check_pool(
            make("{size: 8, correctness: unknown}"),
            {train.inputs["pool"].identity: Pool({"all/unknown": 0})},
        )


def test_a_prepared_pool_is_asked_what_is_left_after_the_controls(make):
    planned = make("{size: [8, 30], correctness: correct}", f"data.select.match={MATCH}")
    pool = trains(planned)[0].inputs["pool"].identity
    asked = []

    def held(arm, data_seed):
        asked.append((arm.name, arm.select.match.by, data_seed))
        return 29

    message = (
        r"grid\.yaml, line 8: grid\[0\]\.size: size 30 is larger than the pool: 29 traces are all/correct "
        r"after match; the pool's strata: all/all 90, all/correct 80 \(cell .*n30-correct-.*\); "
        r"ask for a smaller size"
    )
    with pytest.raises(UserError, match=message):
        check_pool(planned, {pool: Pool({"all/all": 90, "all/correct": 80}, held)})
    assert asked == [("all/correct", ["length"], 0)]
    assert check_pool(planned, {pool: Pool({}, lambda arm, seed: 30)}) == []


def test_what_is_not_known_is_said(make):
    planned = make("{size: 90000}", "data.select.size_in=tokens")
    pool = trains(planned)[0].inputs["pool"].identity
    for pools in ({}, {pool: Pool({"all/all": 5})}):
        (said,) = check_pool(planned, pools)
        assert said.startswith("tiny-world-pool: the counts of all/all are not known")
    # Controls only leave out: what bounds the arm bounds what is left of it.
    message = (
        "at most 1000 traces are all/all after traces_per_problem; the pool's strata: at most all/all 1000, "
        "all/correct 1000, all/incorrect 100, .*easy/all 400"
    )
    with pytest.raises(UserError, match=message):
        check_pool(make("{size: 1001}", "data.select.traces_per_problem=1"), {})
