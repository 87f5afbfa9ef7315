"""A nursery: what starts one sandbox after another for a worker, each new, at a tenth of the cost.

Its process (`driver/nursery.py`) is started once, in the namespaces of an isolation, and never runs a
program. Where it does not work, or not on this machine, sandboxes are started one by one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import tempfile

from valley.evaluate.interpreter import START_LIMIT_S, start
from valley.evaluate.isolation import BOX, Isolation
from valley.evaluate.unused_user import UnusedUser


class Nursery:
    """For one thread: it ends with the thread that started it."""

    def __init__(self, isolation: Isolation) -> None:
        """Start it, and wait until it is ready.

        Raises:
            LookupError: no user can be had.
            OSError: it could not be started, or this isolation has no root of its own to stand in.
        """
        if not isolation.own_root or isolation.user == "outside":
            raise OSError(f"isolation {isolation.name} has no rights here to make more namespaces")
        self.user = UnusedUser() if isolation.user == "inside" else None
        """What its drivers become, one after another."""
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, tempfile.TemporaryFile() as errors:
            self._process = start("nursery", isolation, theirs, BOX, errors)
        try:
            self._greet()
        except OSError:
            self.close()
            raise

    def _greet(self) -> None:
        assert self._process.stdin is not None
        with (
            self._process.stdin,
            contextlib.suppress(OSError),
            open(f"/proc/{self._process.pid}/oom_score_adj", "w") as file,
        ):
            file.write("1000")
        self._control.settimeout(START_LIMIT_S)
        if self._control.recv(16) != b"ready":
            raise ConnectionError("the nursery ended at its start")
        self._control.settimeout(None)

    def bear(self, control: socket.socket, uid: int) -> None:
        """Have a driver started that listens on a control socket.

        Args:
            uid: the user that it becomes, -1 to stay.

        Raises:
            OSError: the nursery has ended.
        """
        socket.send_fds(self._control, [str(uid).encode()], [control.fileno()])

    def close(self) -> None:
        """End it and all drivers that it bore; they are gone a moment later, with its namespace."""
        self._control.close()
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self.user is not None:
            self.user.close()
