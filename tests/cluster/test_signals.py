from __future__ import annotations

import os
import signal

import pytest

from valley.cluster.signals import Interrupted, StopSignals


@pytest.fixture
def signals():
    """Installed, in place of the tests' own handlers for a while."""
    numbers = (signal.SIGUSR2, signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in numbers}
    installed = StopSignals()
    installed.install()
    yield installed
    for number, handler in before.items():
        signal.signal(number, handler)


def send(number):
    os.kill(os.getpid(), number)


def test_work_that_heeds_the_flag_is_not_interrupted(signals):
    with signals.interrupting(), signals.heeded() as stop:
        assert not stop()
        send(signal.SIGUSR2)
        assert stop() and signals.reason == "time_limit"


def test_other_work_is_broken_off_once(signals):
    with pytest.raises(Interrupted), signals.interrupting():
        try:
            send(signal.SIGTERM)
        except Exception:
            pytest.fail("a job's own `except Exception` held it up")
        finally:
            send(signal.SIGTERM)  # as it ends, another one changes nothing
    assert signals.reason == "terminated"


def test_a_signal_between_two_jobs_breaks_off_the_next_before_it_begins(signals):
    send(signal.SIGUSR2)
    begun = []
    with pytest.raises(Interrupted), signals.interrupting():
        begun.append("a job")
    assert not begun


def test_a_termination_outweighs_a_time_limit_and_not_the_reverse(signals):
    send(signal.SIGUSR2)
    send(signal.SIGTERM)
    assert signals.reason == "terminated"
    send(signal.SIGUSR2)
    assert signals.reason == "terminated"


def test_ctrl_c_is_the_launchers_business(signals):
    with signals.interrupting():
        send(signal.SIGINT)
    assert signals.reason == ""
