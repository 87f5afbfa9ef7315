"""Answers that were cut off at the token limit: what the scores would be, had all of them been wrong or right.

Pass@1 among completed answers alone is selected: the answers that end are the easier ones. The two ends
assume nothing. A valley survives in the worst case if it is shown with every size that should score less
counted at its upper end and every other at its lower end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from valley.statistics.curve import ValleyTest, valley_test
from valley.statistics.draws import Curve
from valley.statistics.scores import Floats
from valley.statistics.seeds import SeedNoise, seed_noise


def censored_rates(
    samples: ArrayLike, passed: ArrayLike, completed: ArrayLike
) -> tuple[Floats, Floats]:
    """Pass rates per problem with all truncated answers counted wrong, and with all counted right.

    Counts tell how many answers passed and how many were truncated, and not how many did both. An
    answer that was cut off before its program hardly passes, so at the lower end as many passed as
    could have completed; the upper end is the most that is possible.

    >>> low, high = censored_rates([4, 4], [1, 0], [2, 4])
    >>> low.tolist(), high.tolist()
    ([0.25, 0.0], [0.75, 0.0])

    Args:
        samples: of each problem, [problems]; what the plan fixed.
        passed: of each problem, [problems].
        completed: the samples of each problem that ended by themselves, [problems].
    """
    n, c, ended = (np.asarray(counts, dtype=float) for counts in (samples, passed, completed))
    return np.minimum(c, ended) / n, np.minimum(n, c + n - ended) / n


@dataclass(frozen=True)
class Survival:
    """Whether a valley is there whatever the truncated answers would have been.

    `worst` is the test against itself at the ends, `all_wrong` and `all_right` those that treat all cells
    alike. SURVIVES IF ALIKE: it is shown at both ends, and in the worst case it is not.
    """

    verdict: Literal["SURVIVES", "SURVIVES IF ALIKE", "DOES NOT SURVIVE"]
    worst: ValleyTest
    all_wrong: ValleyTest
    all_right: ValleyTest


def survival(
    all_wrong: Curve,
    all_right: Curve,
    noise: SeedNoise | None = None,
    *,
    draws: int = 10_000,
    seed: int = 0,
) -> Survival:
    """Put a curve through the valley test at both ends of its censoring band and in the worst case.

    Args:
        all_wrong: the curve with every truncated answer counted wrong.
        all_right: the same with every one counted right.
        noise: of the scores; the ends' own are used where they are larger.
    """
    ends = [_larger(noise, seed_noise(curve.cells)) for curve in (all_wrong, all_right)]
    low = valley_test(all_wrong, ends[0], draws=draws, seed=seed)
    high = valley_test(all_right, ends[1], draws=draws, seed=seed)
    worst = valley_test(all_wrong, _larger(*ends), ceiling=all_right, draws=draws, seed=seed)
    if worst.verdict == "VALLEY":
        return Survival("SURVIVES", worst, low, high)
    alike = low.verdict == "VALLEY" == high.verdict
    return Survival("SURVIVES IF ALIKE" if alike else "DOES NOT SURVIVE", worst, low, high)


def _larger(first: SeedNoise | None, second: SeedNoise | None) -> SeedNoise | None:
    there = [noise for noise in (first, second) if noise is not None]
    return max(there, key=lambda noise: noise.variance, default=None)
