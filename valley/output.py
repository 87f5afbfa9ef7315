"""Output: what a command prints, and what becomes of it when its reader is gone (`launch.py grid.yaml | head`).

A printed line is never worth the work that it tells of, so a command goes on and its words go nowhere.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any


class _Outlasting(io.FileIO):
    """A file that takes what is written to it also when nobody reads it any more."""

    def write(self, data) -> int:  # type: ignore[no-untyped-def]
        try:
            return super().write(data)
        except BrokenPipeError:
            lead_nowhere(self.fileno())
            return len(data)


def outlast_readers() -> None:
    """Let this process's standard output and error go on without their readers."""
    # What was inherited closed is None.
    sys.stdout = sys.stdout and _outlasting(sys.stdout)
    sys.stderr = sys.stderr and _outlasting(sys.stderr)


def lead_nowhere(descriptor: int) -> None:
    """Let what is still to be written to a file go nowhere, also what the interpreter's end flushes."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _outlasting(stream: Any) -> io.TextIOWrapper:
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Outlasting(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
