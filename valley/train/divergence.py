"""Divergence: when a training is beyond saving, and ends with a verdict instead of going on."""

from __future__ import annotations

import math
import statistics
from collections import deque
from collections.abc import Iterable

from valley.errors import UserError

LOOKED_BACK = 16
"""Steps whose median a spike is held against."""


class Divergence:
    """Watches the losses and gradients of a training. It says the same in every rank."""

    def __init__(self, spike: float | None, before: Iterable[float] = ()) -> None:
        """Begin to watch.

        Args:
            spike: the largest rise of the loss above the median before it; None for any.
            before: the losses so far, of a training that resumes.
        """
        self.spike = spike
        self.before = deque(before, maxlen=LOOKED_BACK)

    def check(self, step: int, steps: int, loss: float, gradient_norm: float) -> None:
        """Look at a step, counted from 1.

        Raises:
            UserError: loss or gradient is not a finite number, or the loss is a spike.
        """
        what = f"loss {loss:.6g}, gradient norm {gradient_norm:.6g}"
        if not (math.isfinite(loss) and math.isfinite(gradient_norm)):
            raise _diverged(step, steps, what)
        if self.spike is not None and len(self.before) == LOOKED_BACK:
            usual = statistics.median(self.before)
            if loss > usual + self.spike:
                raise _diverged(
                    step,
                    steps,
                    f"{what}, {loss - usual:.3g} above the median {usual:.3g} of the {LOOKED_BACK} "
                    f"steps before, and train.loss_spike allows {self.spike:g}",
                )
        self.before.append(loss)


def _diverged(step: int, steps: int, what: str) -> UserError:
    return UserError(
        f"the training diverged: {what} at step {step} of {steps}; the last checkpoint before is "
        "kept; lower train.learning_rate or raise train.warmup_ratio"
    )
