"""Settings of held-out traces: how many of the pool likelihoods are measured on."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class HeldOutConfig(BaseModel):
    """Traces that no training set of a sweep may hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    traces: int = Field(64, ge=2)
    """Each of a problem of its own, none of whose traces any cell may be trained on: the problems that
    training sets come to last, so that no set changes; a set that reaches them is an error."""
