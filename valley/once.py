"""Once: what several processes need is made by one of them, while the others wait for it.

The claim is a file beside what is made, which names its holder. A holder that is dead on this host, or
that has given no sign of life, from another host, is passed over. So two may at worst make the same at
once: what is made must appear by a rename, whole, and be the same whoever makes it. No clock of another
machine and no time stamp of a file is believed.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from valley.processes import is_alive, this_process

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
    while (found := look()) is None:
        mine = _Claim(claim)
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


class _Claim:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.holder: dict[str, Any] = {**this_process(), "beat": 0}
        self.draft = path.with_name(f".{path.name}.{self.holder['host']}.{self.holder['pid']}")

    def take(self) -> bool:
        """Whether it is this process's now."""
        try:
            self.draft.write_text(json.dumps(self.holder))
            # A link is made or refused as a whole, also on a network file system.
            os.link(self.draft, self.path)
        except FileExistsError:
            return False
        finally:
            self.draft.unlink(missing_ok=True)
        return True

    def beat(self) -> None:
        """Show that this process is at work."""
        holder = {**self.holder, "beat": self.holder["beat"] + 1}
        try:
            self.draft.write_text(json.dumps(holder))
            self.draft.replace(self.path)
        except OSError:  # a full disk, say
            self.draft.unlink(missing_ok=True)
            raise
        self.holder = holder

    def release(self) -> None:
        """Give it up; one that another has taken over since stays."""
        if _holder(self.path) == self.holder:
            self.path.unlink(missing_ok=True)


def _await(claim: Path, patience_s: float) -> None:
    """Return when the claim is gone, and remove it where its holder is dead or silent."""
    seen, since = None, time.monotonic()
    while (holder := _holder(claim)) is not None:
        alive = is_alive(holder)
        if holder != seen:
            seen, since = holder, time.monotonic()
        silent = alive is None and time.monotonic() - since > patience_s
        if alive is False or silent:
            logger.warning(
                "%s: process %s on %s has not finished it; taken over",
                claim,
                holder.get("pid"),
                holder.get("host"),
            )
            claim.unlink(missing_ok=True)
            return
        time.sleep(POLL_S)


def _holder(claim: Path) -> dict[str, Any] | None:
    """Who holds the claim; {} where that cannot be read, None where there is none."""
    try:
        holder = json.loads(claim.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}
