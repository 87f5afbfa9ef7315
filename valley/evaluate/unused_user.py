"""A user id that nobody has: what root becomes to run programs, one for each sandbox.

RLIMIT_NPROC does not count what user 0 starts, also not in a user namespace; and processes of
different users cannot signal each other or read each other's files.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import socket
from pathlib import Path

FIRST, LAST = 61184, 65519
"""Those that systemd lends to services for the time they run, and that no one is given for good."""


class UnusedUser:
    """A user id that is held until `close`, so that no other grader on this host takes it too."""

    def __init__(self) -> None:
        """Find one.

        Raises:
            LookupError: none can be had, as in a user namespace with one user.
        """
        mapped, used = _mapped(), _used()
        candidates = [uid for uid in range(FIRST, LAST + 1) if _contains(mapped, uid)]
        random.SystemRandom().shuffle(candidates)
        for uid in candidates:
            if uid in used or _has_a_name(uid):
                continue
            # A name in the kernel, which is free again when its holder ends, however it does.
            lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                lock.bind(f"\0valley-user-{uid}")
            except OSError:
                lock.close()
                continue
            self.uid = uid
            self._lock = lock
            return
        raise LookupError(f"none of the user ids from {FIRST} to {LAST} is free here")

    def close(self) -> None:
        """Let others take it."""
        self._lock.close()


def others_exist() -> bool:
    """Whether this user namespace has user ids to become."""
    return _contains(_mapped(), FIRST)


def _mapped() -> list[tuple[int, int]]:
    """Ranges of user ids that exist in this user namespace: (first, count)."""
    lines = Path("/proc/self/uid_map").read_text().splitlines()
    return [(int(first), int(count)) for first, _, count in (line.split() for line in lines)]


def _contains(ranges: list[tuple[int, int]], uid: int) -> bool:
    return any(first <= uid < first + count for first, count in ranges)


def _used() -> set[int]:
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            found.add(os.stat(process).st_uid)
    return found


def _has_a_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
