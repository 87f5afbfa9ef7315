"""What a program leaves behind: processes in any group or session, and files in its folder."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import time


def kill_rest(own_namespace: bool) -> None:
    """Kill whatever the program started, in any process group or session, until none is left."""
    if not own_namespace:
        while _reap():
            for child in _children():
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


def _children() -> list[int]:
    with open("/proc/thread-self/children", encoding="ascii") as file:
        return [int(pid) for pid in file.read().split()]


def empty(folder: str) -> bool:
    """Remove all that the program left in its folder; False where it made that impossible."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)
                    continue
                os.chmod(entry.path, 0o700)
                if not empty(entry.path):
                    return False
                os.rmdir(entry.path)
    except (OSError, RecursionError):
        return False
    return True
