"""The lock of a root: one launcher at a time plans and submits below it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from valley.claim import Claim, holder_of, remove
from valley.disk import cannot_write
from valley.errors import UserError
from valley.processes import is_alive

NAME = "launcher.lock"
POLL_S = 1.0


@contextmanager
def root_lock(
    root: Path,
    *,
    break_it: bool = False,
    waits: Callable[[str], None] | None = None,
    launches: bool = True,
) -> Iterator[None]:
    """Hold the root against a second launcher.

    A lock whose owner is dead on this host is taken over.

    Args:
        break_it: take over another host's lock, whose owner the user knows to be dead.
        waits: wait for another launcher instead of refusing; called once, with who that is.
        launches: whether it is held for a launch, whose options messages may name.

    Raises:
        UserError: nothing can be written there, or another launcher holds it, whose host and process
            the message names.
    """
    if why := unusable(root):
        raise UserError(why)
    root.mkdir(parents=True, exist_ok=True)
    mine = Claim(root / NAME)
    while not mine.take():
        holder = remove(mine.path, lambda holder: _may_go(holder, break_it))
        if holder is None:
            continue
        who = f"process {holder.get('pid')} on {holder.get('host')}"
        if waits is None:
            if is_alive(holder):
                remedy = "wait for it" + (", or launch with --wait" if launches else "")
            else:
                option = "add --break-lock" if launches else "launch with --break-lock first"
                remedy = f"it cannot be asked from here; if you know that it is dead, {option}"
            raise UserError(f"{mine.path}: another launcher is at work ({who}); {remedy}")
        waits(f"waiting for another launcher ({who})")
        waits = _say_nothing
        time.sleep(POLL_S)
    try:
        yield
    finally:
        # Broken by someone who held it for dead, it is another's by now.
        mine.release()


def unusable(root: Path) -> str:
    """Why nothing can be launched below a root, which need not exist yet; empty where it can."""
    why = cannot_write(root)
    return why and f"{why}; give --root (or VALLEY_ROOT) a folder that you can write to"


def _may_go(holder: dict[str, Any], break_it: bool) -> bool:
    """Whether a lock's owner is dead, or is to be held for dead. One that cannot be read may be alive."""
    alive = is_alive(holder)
    return alive is False or (alive is None and break_it)


def launcher_at_work(root: Path) -> bool:
    """Whether a launcher holds the root; one of another host is believed to."""
    owner = holder_of(root / NAME) or {}
    return bool(owner) and is_alive(owner) is not False


def launcher_here(root: Path) -> int | None:
    """The process of this host that holds the root; None where there is none."""
    owner = holder_of(root / NAME) or {}
    return owner["pid"] if is_alive(owner) else None


def _say_nothing(_: str) -> None:
    """In place of what has been said once."""
