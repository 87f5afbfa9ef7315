from __future__ import annotations

import pytest

from valley.footprint import weights_bytes
from valley.job import Job


def training(**execution):
    execution = {"evaluation_every": None, "keep_evaluation": None, **execution}
    return Job("train", "0" * 64, "t", {"train": {"precision": "bf16"}}, {}, execution=execution)


@pytest.mark.parametrize(
    ("execution", "steps", "students"),
    [
        ({}, 100, 1),
        ({"evaluation_every": 100}, 100, 1),  # the last is `model` itself
        ({"evaluation_every": 30}, 100, 4),
        ({"evaluation_every": 30, "keep_evaluation": 2}, 100, 3),
        ({"evaluation_every": 30, "keep_evaluation": 9}, 100, 4),
    ],
)
def test_students_kept_on_the_way_count_as_weights(execution, steps, students):
    assert weights_bytes(training(**execution), 10.0, steps) == students * 10 * 2
