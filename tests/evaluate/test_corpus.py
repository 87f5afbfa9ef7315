"""Verdicts on the benchmark's programs (tests/benchmarks/corpus): agreement with others must not rot."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from benchmarks.corpus import OWN, own_cases, special
from benchmarks.corpus.variants import SLOW

from valley.evaluate.config import GradeConfig
from valley.evaluate.grade import check_programs

CONFIG = GradeConfig()
TESTS = 4


def verdicts(cases):
    return check_programs([(case.problem, case.code) for case in cases], CONFIG, workers=2)


def surprises(cases):
    """Cases whose status is not the one expected, with what was found."""
    graded = zip(cases, verdicts(cases), strict=True)
    return [(c.name, c.expected, v.status) for c, v in graded if v.status != c.expected]


def of_kind(kind, cases):
    found = [case for case in cases if case.kind == kind]
    assert found
    return found


@pytest.fixture(scope="module")
def own():
    return own_cases(TESTS)


@pytest.fixture(scope="module")
def others():
    return special(OWN)


def test_sixty_problems_of_both_kinds_each_with_every_variant(own):
    kinds = Counter(one.function is None for one in OWN.values())
    assert len(OWN) == 60
    assert min(kinds.values()) >= 15
    variants = Counter((case.problem.id, case.kind) for case in own)
    assert {kind for _, kind in variants} == {"correct", "wrong", "slow", "crash"}
    assert len(variants) == 4 * 60
    assert len({case.name for case in own}) == len(own)


@pytest.mark.parametrize("kind", ["correct", "wrong", "crash"])
def test_variants(own, kind):
    assert surprises(of_kind(kind, own)) == []


def test_each_way_of_being_slow_is_a_time_limit(own):
    first = of_kind("slow", own)[: len(SLOW)]
    hurried = [replace(c, problem=replace(c.problem, time_limit_s=0.2)) for c in first]
    assert surprises(hurried) == []


def test_the_idioms_of_right_programs_pass(others):
    idioms = of_kind("idiom", others)
    assert len(idioms) >= 13
    assert surprises(idioms) == []


def test_no_cheat_passes(others):
    cheats = of_kind("cheat", others) + of_kind("replaced grader", others)
    statuses = {c.name: v.status for c, v in zip(cheats, verdicts(cheats), strict=True)}
    assert len(statuses) >= 4
    assert {name for name, status in statuses.items() if status == "passed"} == set()


@pytest.mark.parametrize("kind", ["state", "return type"])
def test_each_test_has_a_fresh_process_and_results_are_compared_as_json(others, kind):
    assert surprises(of_kind(kind, others)) == []


def test_a_sandbox_for_each_sample_gives_the_same_verdicts(own):
    programs = [(case.problem, case.code) for case in own[:8] if case.kind != "slow"]
    fresh = CONFIG.model_copy(update={"reuse": False})
    statuses = [v.status for v in check_programs(programs, fresh, workers=2)]
    assert statuses == [v.status for v in check_programs(programs, CONFIG)]
