from __future__ import annotations

import pytest
from pydantic import ValidationError

from valley.cluster.config import ResourcesByKind


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"train": {"pack": 4}}, "generate.pack is 1 and train.pack 4.*set generate.pack to 4"),
        ({"prepare": {"pack": 2}}, "generate.pack is 1 and prepare.pack 2"),
        ({"generate": {"pack": 8}, "grade": {"pack": 7}}, "grade.pack is 7 and generate.pack 8"),
        ({"train": {"pack": 4, "nodes": 2}, "generate": {"pack": 4}, "grade": {"pack": 4}}, "rank"),
        (
            {
                "train": {"pack": 2, "tasks_per_node": 8},
                "generate": {"pack": 2},
                "grade": {"pack": 2},
            },
            "train.pack is 2, and nodes x tasks_per_node 8",
        ),
    ],
)
def test_packs_that_cannot_be_kept_are_refused(resources, message):
    with pytest.raises(ValidationError, match=message):
        ResourcesByKind.model_validate(resources)


def test_followers_may_have_larger_packs():
    ResourcesByKind.model_validate(
        {"train": {"nodes": 2}, "generate": {"pack": 4}, "grade": {"pack": 8}}
    )
