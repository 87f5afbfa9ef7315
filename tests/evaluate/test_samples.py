from __future__ import annotations

import pytest

from valley.errors import UserError
from valley.evaluate.samples import Sample, count_samples


def sample(written):
    return Sample("p", 0, 0, "", "stop", 7, written)


def test_samples_are_counted():
    counts = count_samples([sample(3), sample(0)])
    assert counts == {"samples": 2, "prompt_tokens": 14, "completion_tokens": 3}


@pytest.mark.parametrize("samples", [[], [sample(0), sample(0)]], ids=["no sample", "no token"])
def test_nothing_generated_is_an_error_and_no_score_of_zero(samples):
    with pytest.raises(UserError, match="no token was generated"):
        count_samples(samples)
