import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valley.t_distribution import NORMAL, normal_deviates, t_cdf, t_quantile


@pytest.mark.parametrize(
    ("probability", "df", "expected"),  # from printed tables
    [
        (0.975, 1, 12.706),
        (0.975, 2, 4.303),
        (0.95, 5, 2.015),
        (0.995, 30, 2.750),
        (0.975, 1e9, 1.960),
    ],
)
def test_t_quantiles_are_those_of_the_tables(probability, df, expected):
    assert t_quantile(probability, df) == pytest.approx(expected, abs=6e-4)
    assert t_quantile(1 - probability, df) == pytest.approx(-expected, abs=6e-4)


@given(st.floats(0.02, 0.98), st.floats(0.5, 2000))
@settings(deadline=None)
def test_t_quantile_inverts_the_distribution(probability, df):
    assert t_cdf(t_quantile(probability, df), df) == pytest.approx(probability, abs=1e-7)


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(0.5, 1000)), min_size=1, max_size=5))
@settings(deadline=None)
def test_normal_deviates_have_the_probability_of_their_t(values):
    t, df = np.array(values).T
    for found, one, its_df in zip(normal_deviates(t, df), t, df, strict=True):
        assert NORMAL.cdf(found) == pytest.approx(t_cdf(one, its_df), abs=1e-7)
        assert abs(found) <= 7.001


def test_next_to_no_degrees_of_freedom_bound_nothing():
    assert t_quantile(0.981475668219211, 0.18) > 1e3
