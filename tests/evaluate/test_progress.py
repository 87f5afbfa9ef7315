from __future__ import annotations

import io

import pytest

from valley.evaluate import progress
from valley.evaluate.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets by hand."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_without_a_terminal_a_line_is_written_now_and_then(clock):
    stream = io.StringIO()
    told = Progress(stream)
    for done in range(11, 71):
        clock[0] += 1.0
        told(done, 10, 110)
    told.end()
    assert stream.getvalue().splitlines() == [
        "graded 40 of 110 (1.0/s, 70 s left)",
        "graded 70 of 110 (1.0/s, 40 s left)",
    ]


def test_a_terminal_has_one_line_that_is_taken_off(clock):
    stream = io.StringIO()
    stream.isatty = lambda: True
    told = Progress(stream)
    told(1, 0, 2)  # too early
    clock[0] += 0.5
    told(2, 0, 2)
    told.end()
    assert stream.getvalue() == "\rgraded 2 of 2 (4.0/s, 0 s left)\x1b[K\r\x1b[K"
