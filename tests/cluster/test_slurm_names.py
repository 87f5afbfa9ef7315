from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valley.cluster.slurm import elements_name, indices_of


@pytest.mark.parametrize(
    ("text", "indices"),
    [("", [0]), ("3", [3]), ("[3]", [3]), ("[0-2,5%2]", [0, 1, 2, 5]), ("[0-3%16]", [0, 1, 2, 3])],
)
def test_elements_as_sacct_names_them(text, indices):
    assert indices_of(text) == indices


@given(st.sets(st.integers(0, 60), min_size=1))
def test_elements_named_for_scancel_are_read_again(indices):
    name = elements_name("7", indices)
    assert name.startswith("7_[") and indices_of(name.partition("_")[2]) == sorted(indices)
