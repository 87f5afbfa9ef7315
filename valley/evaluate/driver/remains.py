"""What a program leaves behind: processes in any group or session, and files in its folder."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import time

MOST_FILES = 5000
"""More than these are not removed one by one: a new sandbox, with a new folder, is faster."""


def kill_rest(children: int) -> None:
    """Kill whatever the program started, in any process group or session, until none is left.

    Args:
        children: the open list of this process's children, -1 where it is alone in a pid namespace.
    """
    if children >= 0:
        while _reap():
            for child in _listed(children):
                os.kill(child, _signal.SIGKILL)
            time.sleep(0.0002)
        return
    try:
        while True:
            os.kill(-1, _signal.SIGKILL)
            time.sleep(0.0002)
            _reap()
    except ProcessLookupError:
        return


def _reap() -> bool:
    """Reap the children that have ended; whether any is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _listed(children: int) -> list[int]:
    parts = []
    os.lseek(children, 0, os.SEEK_SET)
    while part := os.read(children, 4096):
        parts.append(part)
    return [int(pid) for pid in b"".join(parts).split()]


def clear(folder: str) -> bool:
    """Empty the folder that programs run in; False where the program made that impossible."""
    try:
        entries = os.listdir(folder)
    except OSError:  # where the folder is its user's, a program may have closed it to itself
        return False
    return not entries or (len(entries) <= MOST_FILES and _empty(folder, [MOST_FILES]))


def _empty(folder: str, left: list[int]) -> bool:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                left[0] -= 1
                if left[0] < 0:
                    return False
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)
                    continue
                os.chmod(entry.path, 0o700)
                if not _empty(entry.path, left):
                    return False
                os.rmdir(entry.path)
    except (OSError, RecursionError):
        return False
    return True
