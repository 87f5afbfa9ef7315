from __future__ import annotations

from dataclasses import fields, replace

import pytest

from valley.errors import UserError
from valley.evaluate.samples import MEASURED, Sample, Verdict, count_samples, verdicts_digest


def sample(written):
    return Sample("p", 0, 0, "", "stop", 7, written)


def test_samples_are_counted():
    cut = replace(sample(5), finish_reason="length", resumed=True)
    assert count_samples([sample(3), cut, replace(cut, completion_tokens=0)]) == {
        "samples": 3,
        "prompt_tokens": 21,
        "completion_tokens": 8,
        "truncated": 2,
        "prompts_too_long": 1,
        "resumed_samples": 2,
    }


@pytest.mark.parametrize("samples", [[], [sample(0), sample(0)]], ids=["no sample", "no token"])
def test_nothing_generated_is_an_error_and_no_score_of_zero(samples):
    with pytest.raises(UserError, match="no token was generated"):
        count_samples(samples)


def test_verdicts_are_known_by_all_but_their_times():
    verdicts = [Verdict("p", i, "passed", None, 2, 2, 0.1, 0.2) for i in range(3)]
    digest = verdicts_digest(verdicts)
    assert verdicts_digest([replace(v, cpu_s=9.0, wall_s=9.9) for v in verdicts]) == digest
    others = {
        "problem_id": "q",
        "index": 7,
        "status": "wrong_answer",
        "first_failing_test": 1,
        "passed_tests": 1,
        "total_tests": 3,
        "note": "so",
    }
    assert {*others, *MEASURED} == {field.name for field in fields(Verdict)}
    for name, value in others.items():
        assert verdicts_digest([*verdicts[:2], replace(verdicts[2], **{name: value})]) != digest
    assert verdicts_digest(verdicts[::-1]) != digest
