"""Once: what several processes need is made by one of them, while the others wait for it.

The claim (`valley.claim`) lies beside what is made. A holder that is dead on this host, or that has given
no sign of life, from another host, is passed over. So two may at worst make the same at once: what is
made must appear by a rename, whole, and be the same whoever makes it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from valley.claim import Claim, holder_of, remove
from valley.processes import is_alive

logger = logging.getLogger(__name__)

T = TypeVar("T")
POLL_S = 0.2
PATIENCE_S = 300.0
"""How long the holder of another host may be silent. Its sign of life is a call of `beat`."""


def once(
    claim: Path,
    look: Callable[[], T | None],
    make: Callable[[Callable[[], None]], T],
    patience_s: float = PATIENCE_S,
) -> T:
    """What `look` finds, after this or another process has made it.

    Args:
        claim: the claim's path, in a folder that exists.
        look: finds it; None where it is missing or damaged.
        make: makes it, and sets a damaged one aside; is given `beat`, to be called every minute or so.
    """
    mine = Claim(claim)
    while (found := look()) is None:
        if not mine.take():
            _await(claim, patience_s)
            continue
        try:
            # Another may have made it between the look and the claim.
            again = look()
            return make(mine.beat) if again is None else again
        finally:
            mine.release()
    return found


def _await(claim: Path, patience_s: float) -> None:
    """Return when the claim is gone, and remove it where its holder is dead or silent."""
    seen, since = None, time.monotonic()

    def is_given_up(holder: dict[str, Any]) -> bool:
        alive = is_alive(holder)
        silent = holder == seen and time.monotonic() - since > patience_s
        return alive is False or (alive is None and silent)

    while (holder := holder_of(claim)) is not None:
        if holder != seen:
            seen, since = holder, time.monotonic()
        if is_given_up(holder):
            who = f"process {holder.get('pid')} on {holder.get('host')}"
            if remove(claim, is_given_up) is None:
                logger.warning("%s: %s has not finished it; taken over", claim, who)
                return
        time.sleep(POLL_S)
