"""A sandbox that fails is told from a program that breaks its sandbox."""

import time

import pytest

from valley.evaluate.isolation import Isolation
from valley.evaluate.probe import find_isolation
from valley.evaluate.runner import Runner
from valley.evaluate.sandbox import Run, SandboxError
from valley.evaluate.seat import Seat


@pytest.fixture
def runner():
    started = Runner(find_isolation("auto"), Seat())
    yield started
    started.close()


def test_a_program_is_told_from_its_sandbox(runner):
    """One that breaks its sandbox each time has failed; the sandbox has not."""
    outcome = runner.run(
        Run("import os\nos.write(3, b'I')\nos._exit(1)", "", None, 5.0, 20.0, 512, 1 << 20)
    )
    assert outcome.exit_code < 0
    assert not outcome.memory_exceeded
    started = time.monotonic()
    assert runner.run(Run("print(1)", "", None, 5.0, 20.0, 512, 1)).stdout == b"1"
    assert time.monotonic() - started < 5


def test_a_sandbox_that_does_not_start():
    runner = Runner(Isolation("broken", ("/bin/false",), "host", "same"), Seat())
    with pytest.raises(SandboxError):
        runner.run(Run("print(1)", "", None, 5.0, 20.0, 512, 1))
