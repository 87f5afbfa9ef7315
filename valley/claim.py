"""A claim: a file that names the one process that holds something.

It appears and goes as a whole, also on a network file system. No clock of another machine and no time
stamp of a file is believed: of a holder on this host it is known whether it lives, of another host's not.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from valley.processes import this_process


class Claim:
    """This process's claim, which it may or may not have been able to make."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.holder: dict[str, Any] = this_process()
        name = f".{path.name}.{self.holder['host']}.{self.holder['pid']}"
        self._draft = path.with_name(name)

    def take(self) -> bool:
        """Whether it is this process's now."""
        try:
            self._draft.write_text(json.dumps(self.holder))
            # A link is made or refused as a whole, also on a network file system.
            os.link(self._draft, self.path)
        except FileExistsError:
            # Over NFS the answer to a link that was made may be lost, and the same asked again (open(2)).
            return self._draft.stat().st_nlink == 2
        finally:
            self._draft.unlink(missing_ok=True)
        return True

    def beat(self) -> None:
        """Show that this process is at work."""
        holder = {**self.holder, "beat": self.holder.get("beat", 0) + 1}
        try:
            self._draft.write_text(json.dumps(holder))
            self._draft.replace(self.path)
        except OSError:  # a full disk, say
            self._draft.unlink(missing_ok=True)
            raise
        self.holder = holder

    def release(self) -> None:
        """Give it up; one that another has taken over since stays."""
        if holder_of(self.path) == self.holder:
            self.path.unlink(missing_ok=True)


def holder_of(path: Path) -> dict[str, Any] | None:
    """Who holds a claim; {} where that cannot be read, None where there is none."""
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return holder if isinstance(holder, dict) else {}


def remove(path: Path, where: Callable[[dict[str, Any]], bool]) -> dict[str, Any] | None:
    """Remove a claim whose holder is one that `where` says to remove; the holder, where it stays."""
    try:
        file = _opened(path)
    except FileNotFoundError:
        return None
    with file:
        # Of two that find the same dead holder, the second must not remove the first one's new claim.
        with suppress(OSError):  # not every network file system has such locks
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            if os.fstat(file.fileno()).st_ino != path.stat().st_ino:
                return None
        except FileNotFoundError:
            return None
        holder = holder_of(path) or {}
        if not where(holder):
            return holder
        path.unlink(missing_ok=True)
    return None


def _opened(path: Path) -> TextIO:
    try:
        # Over NFS only what is open for writing can be locked.
        return path.open("r+")
    except PermissionError:  # another user's, in a folder that is shared
        return path.open()
