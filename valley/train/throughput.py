"""Throughput: what a training step costs, and how fast the steps come."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


def training_flops(parameters: float, tokens: float) -> float:
    """Model FLOPs of training on `tokens`: 6 per parameter and token (Kaplan et al., 2020, eq. 2.4).

    Attention over the context is left out; it is small while documents are short against the width.
    """
    return 6 * parameters * tokens


@dataclass
class Throughput:
    """Counts tokens against the clock from its making on, beside what was counted before."""

    started: float = field(default_factory=time.perf_counter)
    tokens: int = 0
    before_s: float = 0.0
    """Seconds that earlier attempts of the same training took."""

    @property
    def wall_s(self) -> float:
        """Seconds since the start, and those before."""
        return self.before_s + time.perf_counter() - self.started

    @property
    def tokens_per_s(self) -> float:
        """Real tokens per second, prompts included and padding not, over all ranks."""
        return self.tokens / max(self.wall_s, 1e-9)
