"""What a training did, as its result tells it."""

from __future__ import annotations

from dataclasses import dataclass

from valley.train.throughput import Throughput


@dataclass(frozen=True)
class Attempt:
    """What the process that ended a training saw of it; earlier ones left their steps in the log."""

    steps: int
    documents_per_step: float | None
    tokens_per_step: float | None
    fill: float | None
    """The share of the computed positions that were not padding."""
    mfu: float | None
    peak_memory_gib: float | None
    """Of rank 0."""
    data_wait_s: float
    checkpoint_s: float

    @classmethod
    def of(cls, throughput: Throughput) -> Attempt:
        """What was counted; means are None where it did no step."""
        steps = throughput.steps
        return cls(
            steps=steps,
            documents_per_step=throughput.documents / steps if steps else None,
            tokens_per_step=throughput.attempt_tokens / steps if steps else None,
            fill=throughput.fill,
            mfu=throughput.mfu,
            peak_memory_gib=throughput.peak_memory_gib,
            data_wait_s=throughput.data_wait_s,
            checkpoint_s=throughput.checkpoint_s,
        )


@dataclass(frozen=True)
class Trained:
    """What a training did."""

    steps: int
    tokens: int
    loss_first: float
    loss_last: float
    tokens_per_s: float
    attempt: Attempt
