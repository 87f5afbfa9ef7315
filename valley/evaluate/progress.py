"""How far a grading is: one line that changes on a terminal, else a plain line now and then."""

from __future__ import annotations

import time
from typing import TextIO

TERMINAL_S, PLAIN_S = 0.2, 30.0
"""Least time between two lines."""


class Progress:
    """Writes `done of total` to a stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._terminal = stream.isatty()
        self._began = self._last = time.monotonic()
        self._shown = False

    def __call__(self, done: int, kept: int, total: int) -> None:
        """Say it if it is time, `kept` of the samples having been done before this start."""
        now = time.monotonic()
        if now - self._last < (TERMINAL_S if self._terminal else PLAIN_S):
            return
        self._last = now
        rate = (done - kept) / (now - self._began)
        left_s = (total - done) / rate if rate else 0.0
        line = f"graded {done} of {total} ({rate:.1f}/s, {left_s:.0f} s left)"
        if self._terminal:
            self._stream.write(f"\r{line}\x1b[K")
            self._shown = True
        else:
            self._stream.write(f"{line}\n")
        self._stream.flush()

    def end(self) -> None:
        """Take the line off a terminal."""
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
