"""Serves requests: one fork for each, and a reply that tells how it ended and what it used.

A request on the control socket is a line of limits with five descriptors: the source, what the
program reads as stdin, what receives its stdout, its stderr, and the answer of its function. While
the program runs, any other message, and the socket's end, says to stop it. What was expected of the
program is never sent here: all that it wrote goes to the grader, which compares. The one exception
is lcb mode: a sixth descriptor holds all tests of a problem, and `lcb.py` takes `program.py`'s place.

A program's first test hands over what it compiled, on a pipe that is closed before any of the program
runs; its next tests are spared the compiler. Nothing else passes from test to test.

The program may not outlive its test: everything it started is killed, and its files are removed.
Starting Python for each test would cost ten times the test; forking a warm interpreter does not.

Speed here is page faults: a fork has each page copied that either side goes on to touch. So nothing
large is imported, what can be done once is done before, the messages are plain words, and `_signal`
and `_socket` stand for the modules that wrap them.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _sitebuiltins
import _socket
import _thread
import builtins
import contextlib
import gc
import os
import resource
import sys
import time

from . import confine, lcb, prelude, program, remains

# Imported for the programs only: nearly all of them use some, and a warm import is free.
import bisect  # noqa: F401, isort:skip
import collections  # noqa: F401, isort:skip
import functools  # noqa: F401, isort:skip
import heapq  # noqa: F401, isort:skip
import itertools  # noqa: F401, isort:skip
import math  # noqa: F401, isort:skip
import re  # noqa: F401, isort:skip
import string  # noqa: F401, isort:skip

FD_BYTES = 4
MOST_FDS = 6
THREAD_STACK_BYTES = 8 << 20
STOP_CHECK_S = 0.05
"""How often a program that runs for longer is looked after: most have ended before the first time."""
WARM_UP = b"""
import sys
sys.stdin.read()
def f(n, *rest, key=None):
    return [x * 2 for x in range(n) if x % 3 != 1]
class C:
    def __init__(self, a):
        self.a = {a: "b", "c": (1, 2.5)}
print(sum(f(int("7"))), C(3).a, f"{3 / 2:.2f}", *sorted(map(int, "3 1 2".split())))
"""


def main(
    control_fd: str,
    work_folder: str,
    outer_namespace: str,
    kind: str,
    uid: str,
    hidden: str,
    *paths: str,
) -> None:
    """Tell what is in force, then serve requests until the grader closes the control socket.

    Args:
        control_fd: the number of the control socket.
        work_folder: where programs run, and all that is removed after each.
        outer_namespace: the grader's pid namespace, as /proc names it.
        kind: of root, see `confine.confine`.
        uid: the user to become, -1 to stay.
        hidden: folders among `paths` to show empty, with colons between.
        paths: what may be read, this package last.
    """
    control = take(control_fd)
    own_namespace = os.readlink("/proc/self/ns/pid") != outer_namespace
    try:
        confinement = confine.confine(
            kind, work_folder, int(uid), paths, hidden.split(os.pathsep), own_namespace
        )
    except OSError as error:
        sys.exit(str(error))
    prepare()
    serve(control, confinement)


def take(control_fd: str | int) -> _socket.socket:
    """The control socket, as the lowest free number: a program closes those that it may have."""
    control = _socket.socket(fileno=os.dup(int(control_fd)))
    os.close(int(control_fd))
    return control


def received(control: _socket.socket, count: int) -> tuple[bytes, list[int]]:
    """The next message and the descriptors with it; an empty one at the end of the socket."""
    message, ancillary, _, _ = control.recvmsg(4096, _socket.CMSG_SPACE(count * FD_BYTES))
    if not ancillary:
        return message, []
    numbers = ancillary[0][2]
    return message, [
        int.from_bytes(numbers[i : i + FD_BYTES], sys.byteorder)
        for i in range(0, len(numbers), FD_BYTES)
    ]


def serve(control: _socket.socket, confinement: confine.Confinement) -> None:
    """Tell what is in force, then run what is asked for until the control socket is closed."""
    control.send(", ".join(confinement.words).encode())
    known = code = b""  # the last program and what its first test compiled, before any of it ran
    while True:
        message, fds = received(control, MOST_FDS)
        if not message:
            return
        if not fds:  # to stop a program that had just ended
            continue
        request = message.split(b" ")
        as_upstream = len(fds) == MOST_FDS
        if as_upstream:
            lcb.warm()
        else:
            if request[6]:
                prelude.warm()
            if (source := os.pread(fds[0], int(request[1]), 0)) != known:
                known, code = source, b""
        telling, told = (-1, -1) if as_upstream or code else os.pipe()
        if told >= 0:
            fds.append(told)
        deadline = time.monotonic() + int(request[0]) / 1e3
        pid = os.fork()
        if pid == 0:
            if as_upstream:
                lcb.become(request, fds, confinement.enter)
            program.become(request, fds, confinement.enter, code)
        for fd in fds:
            os.close(fd)
        status, usage, timed_out = _wait(pid, deadline, control)
        if telling >= 0:
            code = os.read(telling, program.MOST_CODE_BYTES) if status == 0 else b""
            os.close(telling)
        remains.kill_rest(confinement.children)
        clean = remains.clear(".")
        cpu_s = usage.ru_utime + usage.ru_stime
        control.send(b"%d %d %d %.6f" % (status, timed_out, clean, cpu_s))


def prepare() -> None:
    """All that is the same for every program, done once."""
    os.environ.clear()  # what it held was for this interpreter's start
    for name in ("quit", "exit"):  # -S leaves them out
        setattr(builtins, name, _sitebuiltins.Quitter(name, "Ctrl-D (i.e. EOF)"))
    # The stack of the main thread may grow far, for deep recursion; each other thread would
    # reserve as much of its address space at once.
    _thread.stack_size(THREAD_STACK_BYTES)
    _signal.pthread_sigmask(_signal.SIG_BLOCK, [_signal.SIGCHLD])
    _signal.signal(_signal.SIGXFSZ, _signal.SIG_DFL)  # too much output ends a program at once
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)  # a handler would let programs interrupt this
    program.limit(resource.RLIMIT_CORE, 0)
    program.limit(resource.RLIMIT_NOFILE, program.OPEN_FILES)
    _import_random()
    _warm_up()
    # No program can import this package, as it could not under a Python of its own.
    sys.path.pop()
    for name in [name for name in sys.modules if name.partition(".")[0] == "driver"]:
        del sys.modules[name]
    gc.collect()
    gc.freeze()


def _warm_up() -> None:
    """Run programs here, so that their code is specialised and its memory touched before a fork.

    Their stdin and stdout are pipes, an empty one and one that is read by nobody, since the streams
    that are opened here are the programs' own, and what a stream is opened on, it remembers.
    """
    stdin_end, ended = os.pipe()
    kept, stdout_end = os.pipe()
    os.close(ended)
    for fd, number in ((stdin_end, 0), (stdout_end, 1)):
        os.dup2(fd, number)
        os.close(fd)
    for _ in range(20):
        program.open_standard_files()
        program.run("", WARM_UP)
    os.close(kept)


def _import_random() -> None:
    """Import `random` so that each program draws the same numbers: a verdict can be repeated.

    At each fork it would seed itself anew, which also costs as much as a small program.
    """
    register, os.register_at_fork = os.register_at_fork, lambda **_: None
    import random

    os.register_at_fork = register
    random.seed(0)


def _wait(
    pid: int, deadline: float, control: _socket.socket
) -> tuple[int, resource.struct_rusage, bool]:
    """The wait status and usage of the child, and whether the wall limit had to end it."""
    stopped = False
    while not stopped and (left_s := deadline - time.monotonic()) > 0:
        _signal.sigtimedwait([_signal.SIGCHLD], min(left_s, STOP_CHECK_S))
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return status, usage, False
        stopped = _told_to_stop(control)
    os.kill(pid, _signal.SIGKILL)  # by its own id too: it may not have called setsid yet
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, _signal.SIGKILL)
    return *os.wait4(pid, 0)[1:], not stopped


def _told_to_stop(control: _socket.socket) -> bool:
    try:
        control.recv(16, _socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    return True
