"""What scores say, and with what certainty. Pure: numpy in, numbers and verdicts out.

The estimand is the mean pass rate over the population that the problems were drawn from and over
training seeds. So:

- A *problem* is the unit that is resampled, the same draws for all cells (`draws.py`). Samples of one
  problem are never resampled: their noise is already inside the problem's count.
- A *training seed* is a random effect, pooled over cells (`seeds.py`); where no cell has two seeds it is
  unmeasured, and everything is conditional on its checkpoints.
- Differences are *paired*: all cells answer the same problems in the same order (`intervals.py`).
- Where many comparisons are made, all of them are corrected for, never only those picked.

`scores.py`, `seeds.py` and `intervals.py` are about cells; `curve.py` tests a curve for a valley,
`landmarks.py` finds where it turns, `shape.py` how it rises; `censoring.py` is about answers that were cut
off, `effects.py` about pairs of arms, `correlation.py` about rates beside sizes and scores, `deciding.py`
about what a larger grid would show. `docs/statistics.md` has the methods and the simulations that they
were held against.
"""

from valley.statistics.intervals import contrast_interval, contrasts, difference, score_interval
from valley.statistics.scores import Cell, Estimate, Floats, pass_at_k, wilson
from valley.statistics.seeds import SeedNoise, seed_noise

__all__ = [
    "Cell",
    "Estimate",
    "Floats",
    "SeedNoise",
    "contrast_interval",
    "contrasts",
    "difference",
    "pass_at_k",
    "score_interval",
    "seed_noise",
    "wilson",
]
