"""Patience: a launch that stays bears with a Slurm that does not answer, for as long as a restart takes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeVar

from valley.cluster import slurm

T = TypeVar("T")
PATIENCE_S = 600.0
AGAIN_S = 30.0


def patiently(step: Callable[[], T]) -> T:
    """What a step returns. Where Slurm does not answer in it, it is begun anew.

    Args:
        step: looks first at what an attempt before it has done.

    Raises:
        NoAnswer: Slurm has not answered for `PATIENCE_S`.
    """
    silent_since: float | None = None
    while True:
        try:
            return step()
        except slurm.NoAnswer as error:
            now = time.monotonic()
            silent_since = now if silent_since is None else silent_since
            if now - silent_since > PATIENCE_S:
                raise
            print(f"{error}; asked again", file=sys.stderr, flush=True)
        time.sleep(AGAIN_S)
