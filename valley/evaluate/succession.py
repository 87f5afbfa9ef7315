"""A succession of sandboxes for a worker: each new, and ready when the one before it is put away.

Most of what a new sandbox takes is waiting: for namespaces to be made, and to be gone. So the next
one is born (`nursery.py`) while this one is at work, and each ends beside its successor.
"""

from __future__ import annotations

import contextlib
from concurrent.futures import ThreadPoolExecutor

from valley.evaluate.isolation import Isolation
from valley.evaluate.nursery import Nursery
from valley.evaluate.sandbox import Sandbox, SandboxError


class Succession:
    """For one thread: it ends with the thread that started it."""

    def __init__(self, isolation: Isolation) -> None:
        """Start the nursery, and have the first sandbox born.

        Raises:
            OSError: this isolation has no nursery here.
            LookupError: no user can be had.
        """
        self._isolation = isolation
        self._nursery = Nursery(isolation)
        self._helper = ThreadPoolExecutor(1, thread_name_prefix="sandboxes")
        self._next = self._helper.submit(Sandbox, isolation, self._nursery)

    def take(self) -> Sandbox:
        """The next sandbox, to be put away with `put_away`.

        Raises:
            SandboxError: it could not be born.
        """
        sandbox = self._next.result()
        self._next = self._helper.submit(Sandbox, self._isolation, self._nursery)
        return sandbox

    def put_away(self, sandbox: Sandbox) -> None:
        """End a sandbox that was taken; its end is not waited for."""
        self._helper.submit(sandbox.close)

    def close(self) -> None:
        """End all of them that are left, and the nursery."""
        with contextlib.suppress(SandboxError):
            self._next.result().close()
        self._helper.shutdown()
        self._nursery.close()
