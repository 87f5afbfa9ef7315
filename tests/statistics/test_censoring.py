import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from valley.statistics import Cell
from valley.statistics.censoring import censored_rates, survival
from valley.statistics.draws import Curve

SIZES = (100, 1000, 10_000)
counts = st.integers(1, 8).flatmap(
    lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(0, n))
)


@given(st.lists(counts, min_size=1, max_size=5))
def test_the_band_holds_the_score_and_is_a_point_where_all_completed(rows):
    n, passed, completed = np.array(rows).T
    low, high = censored_rates(n, passed, completed)
    assert (low <= passed / n).all() and (passed / n <= high).all()
    assert (low >= 0).all() and (high <= 1).all()
    whole = completed == n
    assert np.array_equal(low[whole], high[whole])


def ends(scores, cut):
    """A curve with its truncated answers wrong, and the same with them right."""
    place = np.arange(400)

    def curve(extra):
        cells = [
            Cell((place < round(400 * (s + c * extra))).astype(float)[None], given=at == 0)
            for at, (s, c) in enumerate(zip(scores, cut, strict=True))
        ]
        return Curve(cells[0], SIZES, tuple(cells[1:]))

    return curve(0), curve(1)


@pytest.mark.parametrize(
    ("cut", "verdict"),
    [
        ((0.0, 0.02, 0.02, 0.0), "SURVIVES"),
        ((0.3, 0.3, 0.3, 0.3), "SURVIVES IF ALIKE"),
        ((0.0, 0.4, 0.4, 0.0), "DOES NOT SURVIVE"),  # all of the trough could be truncation
    ],
)
def test_a_valley_survives_only_what_truncation_cannot_explain(cut, verdict):
    found = survival(*ends((0.5, 0.2, 0.2, 0.6), cut))
    assert found.verdict == verdict
    assert found.all_wrong.verdict == "VALLEY"
    assert (found.worst.verdict == "VALLEY") == (verdict == "SURVIVES")
