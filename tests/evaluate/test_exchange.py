"""Pipes: neither side waits for the other for ever, and no program is given or leaves more than it may."""

import os
import resource
import socket
import threading
import time

import pytest

from valley.evaluate.exchange import Exchange
from valley.evaluate.probe import find_isolation
from valley.evaluate.sandbox import Run, Sandbox, SandboxError
from valley.evaluate.watch import Watch


def unlimited():
    return Watch(os.getpid(), 1 << 60, 1e9).look


LARGE = "123456789\n" * 400_000  # four times what a pipe can be made to hold


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(find_isolation("auto")) as started:
        yield started


def run(sandbox, source, stdin="", output_limit_bytes=16 << 20, wall_limit_s=20.0):
    """Run a program, and see that the next one is not disturbed by it."""
    outcome = sandbox.run(Run(source, stdin, None, 10.0, wall_limit_s, 512, output_limit_bytes))
    after = sandbox.run(Run("print(input())", "next\n", None, 5.0, 20.0, 512, 1 << 20))
    assert (after.stdout, after.exit_code, after.stderr) == (b"next\n", 0, "")
    return outcome


# name -> (program, its stdout)
READERS = {
    "reads nothing": ("print('none of it')", "none of it\n"),
    "closes the descriptor": ("import os\nos.close(0)\nprint('closed')", "closed\n"),
    "reads a line": ("print(input())\nimport sys\nsys.stdin.close()\nprint(2)", "123456789\n2\n"),
    "reads all": ("import sys\nprint(sys.stdin.read(), end='')", LARGE),
    "echoes": ("import sys\nfor line in sys.stdin: print(line, end='')", LARGE),
    "writes before it reads": (
        "import sys\nprint('x' * 3_000_000)\nprint(len(sys.stdin.read()))",
        f"{'x' * 3_000_000}\n{len(LARGE)}\n",
    ),
    "closes stdout": ("import os\nprint('over', flush=True)\nos.close(1)\nprint(end='')", "over\n"),
}


@pytest.mark.parametrize("name", READERS)
def test_a_large_input_whatever_becomes_of_it(sandbox, name):
    source, stdout = READERS[name]
    started = time.monotonic()
    outcome = run(sandbox, source, LARGE)
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.stdout.decode() == stdout
    assert time.monotonic() - started < 10


def test_one_read_gets_the_input(sandbox):
    """As far as pipes hold it: not what happens to be there when the program comes to read."""
    stdin = LARGE[: 700 << 10]
    assert (
        run(sandbox, f"import os\nprint(len(os.read(0, {1 << 20})))", stdin).stdout == b"716800\n"
    )


def test_the_input_is_fast_to_read_in_the_usual_way(sandbox):
    """The reader that programs of competitions begin with; a pipe's st_size is 0."""
    source = """
import io, os, sys
class Fast(io.IOBase):
    def __init__(self):
        self.buffer, self.newlines = io.BytesIO(), 0
    def readline(self):
        while self.newlines == 0:
            b = os.read(0, max(os.fstat(0).st_size, 8192))
            self.newlines = b.count(b"\\n") + (not b)
            at = self.buffer.tell()
            self.buffer.seek(0, 2), self.buffer.write(b), self.buffer.seek(at)
        self.newlines -= 1
        return self.buffer.readline()
fast = Fast()
print(fast.readline(), fast.readline(), fast.readline())
"""
    assert run(sandbox, source, "1\n2 3\n").stdout == b"b'1\\n' b'2 3\\n' b''\n"


WRITERS = {
    "then sleeps": "import time\nprint('x' * 3_000_000, flush=True)\ntime.sleep(100)",
    "whatever happens": "import os, time\nwhile True:\n    try:\n        os.write(1, b'x' * 1000)\n"
    "    except BaseException:\n        pass",
    "a process of its own": "import os, time\nif os.fork():\n    time.sleep(100)\nos.setsid()\n"
    "while True:\n    os.write(1, b'x' * 1000)",
}


@pytest.mark.parametrize("name", WRITERS)
def test_too_much_output_ends_a_program(sandbox, name):
    source = WRITERS[name]
    started = time.monotonic()
    outcome = run(sandbox, source, output_limit_bytes=100_000)
    assert (outcome.output_exceeded, outcome.timed_out, outcome.memory_exceeded) == (
        True,
        *[False] * 2,
    )
    assert outcome.stdout == b"x" * 100_000
    assert time.monotonic() - started < 10


def test_a_program_that_has_ended_is_not_stopped_again(sandbox):
    """The word to stop may come when its program has just ended, and is not for the next one."""
    for _ in range(30):
        outcome = run(sandbox, "import os\nos.write(1, b'x' * 1001)", output_limit_bytes=1000)
        assert outcome.output_exceeded
        assert outcome.exit_code in (0, -9)


def test_too_much_output_and_files_that_stay_are_the_programs_fault():
    source = (
        "import os\nfor _ in range(1500):\n    os.mkdir('d')\n    os.chdir('d')\n"
        "os.write(1, b'x' * 1001)"
    )
    for _ in range(5):
        with Sandbox(find_isolation("auto")) as sandbox:
            outcome = sandbox.run(Run(source, "", None, 5.0, 20.0, 512, 1000))
            assert (outcome.output_exceeded, sandbox.usable) == (True, False)


def test_a_process_that_stays_behind_does_not_hold_the_test(sandbox):
    source = (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(100)\nprint('done')"
    )
    started = time.monotonic()
    assert run(sandbox, source).stdout == b"done\n"
    assert time.monotonic() - started < 10


def test_a_program_that_takes_its_own_output_back_disturbs_nobody(sandbox):
    source = (
        "import os\nfd = os.open('/proc/self/fd/1', os.O_RDONLY | os.O_NONBLOCK)\n"
        "for _ in range(5000):\n    os.write(1, b'x' * 10)\n    try:\n        os.read(fd, 10)\n"
        "    except BlockingIOError:\n        pass\nos.write(1, b'y')"
    )
    outcome = run(sandbox, source)
    assert (outcome.exit_code, outcome.stdout[-1:]) == (0, b"y")


def test_a_program_has_four_descriptors_whatever_the_grader_has_open():
    """Its standard files and the one for a function's result; one more lists them."""
    others = [os.dup(2) for _ in range(100)]
    try:
        with Sandbox(find_isolation("auto")) as sandbox:
            outcome = run(
                sandbox, "import os\nprint(sorted(map(int, os.listdir('/proc/self/fd'))))"
            )
    finally:
        for fd in others:
            os.close(fd)
    assert outcome.stdout == b"[0, 1, 2, 3, 4]\n"


def test_nothing_stays_open_here(sandbox):
    before = sorted(os.listdir("/proc/self/fd"))
    run(sandbox, "print(1)", LARGE)
    run(sandbox, "print('x' * 1000)", output_limit_bytes=100)
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_too_many_open_files_are_the_sandboxes_fault_and_leave_none(sandbox):
    before = len(os.listdir("/proc/self/fd"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before + 3, hard))
    try:
        with pytest.raises(SandboxError, match="Too many open files"):
            sandbox.run(Run("", "", None, 5.0, 20.0, 512, 1 << 20))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(os.listdir("/proc/self/fd")) == before
    assert run(sandbox, "print(1)").stdout == b"1\n"


@pytest.fixture
def control():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


def test_a_driver_that_says_nothing_is_given_up(control):
    with Exchange(b"", LARGE.encode(), 100) as exchange, pytest.raises(TimeoutError):
        exchange.attend(control[0], 0.2, unlimited())


def test_what_was_written_before_the_reply_is_had(control):
    """A driver's part played here: it feeds the program's stdin back and replies at once."""
    ours, theirs = control
    with Exchange(b"the source", LARGE.encode(), len(LARGE)) as exchange:
        source, stdin, stdout, stderr, result = map(os.dup, exchange.fds)
        assert os.pread(source, 100, 0) == b"the source"

        def play():
            with open(stdin, "rb") as reader, open(stdout, "wb") as writer:
                writer.write(reader.read())
            os.write(stderr, b"e" * (len(LARGE) + 9))
            os.pwrite(result, b"R1", 0)
            theirs.send(b"ended")

        driver = threading.Thread(target=play)
        driver.start()
        assert exchange.attend(ours, 20.0, unlimited()) == b"ended"
        driver.join()
        for fd in (source, stderr, result):
            os.close(fd)
        out, error, answer = exchange.outputs()
    assert (out.decode(), answer) == (LARGE, b"R1")
    assert error == b"e" * (len(LARGE) + 1)
