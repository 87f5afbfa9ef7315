from __future__ import annotations

import pytest

from valley.short_name import cell_name


@pytest.mark.parametrize(
    ("size", "difficulty", "correctness", "name"),
    [
        (10_000, "easy", "all", "1e10k.0"),
        (512, "all", "all", "1a512.0"),
        (30_000, "hard", "correct", "1hc30k.0"),
        (1500, "all", "incorrect", "1i1500.0"),
        (0, "all", "all", "1a0.0"),
        (2_000_000, "medium", "all", "1m2m.0"),
    ],
)
def test_names(size, difficulty, correctness, name):
    axes = {
        "stage": 1,
        "size": size,
        "difficulty": difficulty,
        "correctness": correctness,
        "seed": 0,
    }
    assert cell_name(axes) == name


def test_with_the_kind_the_papers_cells_fit_into_eight_characters():
    axes = {"stage": 2, "size": 30_000, "difficulty": "easy", "correctness": "all", "seed": 2}
    assert len("t" + cell_name(axes)) == 8
