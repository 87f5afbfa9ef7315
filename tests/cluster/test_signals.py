from __future__ import annotations

import os
import signal
import subprocess
import time

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
        wait_for(stop)
        assert signals.reason == "time_limit"


def test_what_such_work_has_started_survives_the_time_limits_signal(signals):
    """Slurm sends it to every process of a step."""
    with signals.heeded() as stop:
        child = subprocess.Popen(["sleep", "60"])
        with subprocess.Popen(["sh", "-c", "kill -USR2 $$; echo alive"], stdout=-1) as other:
            assert other.stdout is not None and other.stdout.read() == b"alive\n"
        os.kill(child.pid, signal.SIGUSR2)
        send(signal.SIGUSR2)
        wait_for(stop)
        assert child.poll() is None
        child.terminate()
        assert child.wait(10) == -signal.SIGTERM
    with subprocess.Popen(["sh", "-c", "kill -USR2 $$; echo alive"], stdout=-1) as other:
        assert other.wait(10) == -signal.SIGUSR2


def wait_for(reached):
    deadline = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.001)


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
