from __future__ import annotations

import math

import pytest

from valley.errors import UserError
from valley.train.divergence import LOOKED_BACK, Divergence


@pytest.mark.parametrize(("loss", "norm"), [(math.nan, 1.0), (math.inf, 1.0), (1.0, math.nan)])
def test_what_is_no_number_ends_a_training_at_once(loss, norm):
    with pytest.raises(UserError, match=r"diverged: .* at step 1 of 9"):
        Divergence(None).check(1, 9, loss, norm)


def test_a_spike_ends_it_and_says_what_it_is_held_against():
    watch = Divergence(2.0)
    for step in range(LOOKED_BACK):
        watch.check(step + 1, 99, 3.0 if step % 2 else 1.0, 1.0)
    watch.check(17, 99, 3.9, 1.0)
    with pytest.raises(UserError, match=r"train\.loss_spike allows 2"):
        watch.check(18, 99, 6.0, 1.0)


def test_the_window_of_a_resumed_training_is_that_of_the_whole_one():
    resumed = Divergence(2.0, before=[9.0] + [1.0] * LOOKED_BACK)
    with pytest.raises(UserError, match=r"above the median 1 of the 16 steps before"):
        resumed.check(18, 99, 3.5, 1.0)


def test_the_first_steps_and_no_limit_allow_any_rise():
    watch = Divergence(1.0)
    for step in range(LOOKED_BACK):
        watch.check(step + 1, 99, 10.0 * step, 1.0)
    free = Divergence(None)
    for step in range(40):
        free.check(step + 1, 99, 0.0 if step < 30 else 100.0, 1.0)
