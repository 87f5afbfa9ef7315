"""The lock of a root: one launcher at a time plans and submits below it."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from valley.errors import UserError
from valley.processes import is_alive, this_process

POLL_S = 1.0


@contextmanager
def root_lock(
    root: Path,
    *,
    break_it: bool = False,
    waits: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Hold the root against a second launcher.

    A lock whose owner is dead on this host is taken over.

    Args:
        break_it: take over another host's lock, whose owner the user knows to be dead.
        waits: wait for another launcher instead of refusing; called once, with who that is.

    Raises:
        UserError: another launcher holds it; the message names its host and process.
    """
    root.mkdir(parents=True, exist_ok=True)
    path = root / "launcher.lock"
    me = this_process()
    draft = root / f".launcher.{me['host']}.{me['pid']}"
    draft.write_text(json.dumps(me))
    try:
        while not _link(draft, path):
            holder = _take_over(path, break_it)
            if holder is None:
                continue
            who, remedy = holder
            if waits is None:
                raise UserError(f"{path}: another launcher is at work ({who}); {remedy}")
            waits(f"waiting for another launcher ({who})")
            waits = _say_nothing
            time.sleep(POLL_S)
    finally:
        draft.unlink()
    try:
        yield
    finally:
        # Broken by someone who held it for dead, it is another's by now.
        if _owner(path) == me:
            path.unlink(missing_ok=True)


def _link(draft: Path, path: Path) -> bool:
    try:
        # A link is made or refused as a whole, also on a network file system.
        os.link(draft, path)
    except FileExistsError:
        return False
    return True


def _take_over(path: Path, break_it: bool) -> tuple[str, str] | None:
    """Remove the lock if its owner is dead; else say who that is, and what is to be done."""
    try:
        file = path.open("r+")
    except FileNotFoundError:
        return None
    with file:
        # Of two that find the same dead owner, the second must not remove the first one's new lock.
        with suppress(OSError):  # not every network file system has such locks
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            if os.fstat(file.fileno()).st_ino != path.stat().st_ino:
                return None
        except FileNotFoundError:
            return None
        owner = _owner(path)
        alive = is_alive(owner) if owner else None
        if alive is False or (alive is None and break_it):
            path.unlink(missing_ok=True)
            return None
    who = f"process {owner.get('pid')} on {owner.get('host')}"
    if alive:
        return who, "wait for it, or launch with --wait"
    return who, "it cannot be asked from here; if you know that it is dead, add --break-lock"


def _owner(path: Path) -> dict[str, Any]:
    try:
        owner = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


def launcher_at_work(root: Path) -> bool:
    """Whether a launcher holds the root; one of another host is believed to."""
    owner = _owner(root / "launcher.lock")
    return bool(owner) and is_alive(owner) is not False


def _say_nothing(_: str) -> None:
    """In place of what has been said once."""
