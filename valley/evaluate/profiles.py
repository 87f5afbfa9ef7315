"""Decoding profiles: how a student is asked, by name."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Profile(BaseModel):
    """One way to decode. Every field is part of a generate job's identity."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    samples: int = Field(1, ge=1)
    """Samples per problem."""
    temperature: float = Field(0.0, ge=0)
    """0 is greedy."""
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(32768, ge=1)
    """Longest answer; an answer cut here is counted as not completed."""
    prefill: str = ""
    """Text the answer is made to begin with: "<think>\\n" forces a thought open, the opening fence
    of a program asks for a direct answer without one."""
    sampling_seed: int = 0


class GenerateConfig(BaseModel):
    """What every cell of a sweep is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profiles: dict[str, Profile] = Field(
        default_factory=lambda: {"greedy": Profile()}, min_length=1
    )
    """The first is the one that verdicts are drawn from, unless the plot is told otherwise."""
    batch_size: int = Field(64, ge=1)
    """Sequences decoded at once. Identity, since float32 sums depend on the batch's shape."""
    precision: Literal["fp32", "bf16"] = "bf16"
    """What the weights are held and computed in, on any hardware: identity, as the training's own
    `precision` is. A CPU is slow in bf16; a grid for CPUs says fp32."""
