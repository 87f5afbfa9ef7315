"""Inside the sandbox: a warm interpreter that forks one fresh process for each test.

`sandbox.py` runs it by path: `python -s -S -P driver.py CONTROL_FD WORK_FOLDER PID_NAMESPACE`. It
imports nothing but the standard library, and the grader never imports it. Starting Python for each
test would cost ten times the test; forking an interpreter that is already warm does not.

A request on the control socket is a line of limits with five files: the source, what the program
reads as stdin, what receives its stdout, its stderr, and the answer of its function. The reply tells
how the process ended and what it used. What was expected of the program is never sent here: the
files go back to the grader, which compares.

The program may not outlive its test: everything it started is killed, and its files are removed.

Speed here is page faults: a fork has each page copied that either side goes on to touch. So nothing
large is imported, what can be done once is done before, the messages are plain words, and `_signal`
and `_socket` stand for the modules that wrap them.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import _sitebuiltins
import _socket
import _thread
import atexit
import builtins
import contextlib
import gc
import json
import os
import resource
import sys
import time
import types
from collections.abc import Callable
from typing import Any

# Imported for the programs only: nearly all of them use some, and a warm import is free.
import bisect  # noqa: F401, isort:skip
import collections  # noqa: F401, isort:skip
import functools  # noqa: F401, isort:skip
import heapq  # noqa: F401, isort:skip
import itertools  # noqa: F401, isort:skip
import math  # noqa: F401, isort:skip
import re  # noqa: F401, isort:skip
import string  # noqa: F401, isort:skip

RESULT_FD = 3
FD_BYTES = 4
OPEN_FILES = 64
THREAD_STACK_BYTES = 8 << 20
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
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


def main() -> None:
    """Serve requests until the grader closes the control socket."""
    control = _socket.socket(fileno=int(sys.argv[1]))
    work_folder, outer_namespace = sys.argv[2:4]
    own_namespace = os.readlink("/proc/self/ns/pid") != outer_namespace
    prctl = None if own_namespace else _become_subreaper()
    _prepare()
    os.chdir(work_folder)
    while True:
        message, ancillary, _, _ = control.recvmsg(4096, _socket.CMSG_SPACE(5 * FD_BYTES))
        if not message:
            return
        numbers = ancillary[0][2]
        fds = [
            int.from_bytes(numbers[i : i + FD_BYTES], sys.byteorder)
            for i in range(0, 5 * FD_BYTES, FD_BYTES)
        ]
        request = message.split(b" ")
        started = time.monotonic()
        pid = os.fork()
        if pid == 0:
            _child(request, fds, prctl)
        for fd in fds:
            os.close(fd)
        status, usage, timed_out = _wait(pid, started + int(request[0]) / 1e3)
        wall_s = time.monotonic() - started
        _kill_rest(own_namespace)
        clean = not os.listdir(work_folder) or _empty(work_folder)
        cpu_s = usage.ru_utime + usage.ru_stime
        control.send(b"%d %d %d %.6f %.6f" % (status, timed_out, clean, cpu_s, wall_s))
        if not clean:  # the grader starts another sandbox with another folder
            return


def _become_subreaper() -> Callable[..., int]:
    """Without a pid namespace, orphans are found only if they become this process's children."""
    import ctypes

    prctl: Callable[..., int] = ctypes.CDLL(None).prctl
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    return prctl


def _prepare() -> None:
    """All that is the same for every program, done once."""
    os.environ.clear()  # what it held was for this interpreter's start
    for name in ("quit", "exit"):  # -S leaves them out
        setattr(builtins, name, _sitebuiltins.Quitter(name, "Ctrl-D (i.e. EOF)"))
    # The stack of the main thread may grow far, for deep recursion; each other thread would
    # reserve as much of its address space at once.
    _thread.stack_size(THREAD_STACK_BYTES)
    _signal.pthread_sigmask(_signal.SIG_BLOCK, [_signal.SIGCHLD])
    _signal.signal(_signal.SIGXFSZ, _signal.SIG_DFL)  # too much output ends a program at once
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, OPEN_FILES)
    _import_random()
    for _ in range(20):  # so that this code is specialised, and its memory touched, before a fork
        _open_standard_files()
        _program("", WARM_UP)
    gc.collect()
    gc.freeze()


def _import_random() -> None:
    """Import `random` so that each program draws the same numbers: a verdict can be repeated.

    At each fork it would seed itself anew, which also costs as much as a small program.
    """
    register, os.register_at_fork = os.register_at_fork, lambda **_: None
    import random

    os.register_at_fork = register
    random.seed(0)


def _open_standard_files() -> None:
    """As a Python that has just started has them: UTF-8, and line ends are not translated."""
    how: dict[str, Any] = {"encoding": "utf-8", "newline": "\n", "closefd": False}
    sys.stdin = open(0, errors="surrogateescape", **how)  # noqa: SIM115
    sys.stdout = open(1, "w", errors="surrogateescape", **how)  # noqa: SIM115
    sys.stderr = open(2, "w", errors="backslashreplace", buffering=1, **how)  # noqa: SIM115
    for name in ("stdin", "stdout", "stderr"):
        setattr(sys, f"__{name}__", getattr(sys, name))


def _limit(limit: int, value: int) -> None:
    hard = resource.getrlimit(limit)[1]
    if hard != resource.RLIM_INFINITY and hard < value:
        value = hard
    resource.setrlimit(limit, (value, value))


def _wait(pid: int, deadline: float) -> tuple[int, resource.struct_rusage, bool]:
    """The wait status and usage of the child, and whether the wall limit had to end it."""
    while (left_s := deadline - time.monotonic()) > 0:
        _signal.sigtimedwait([_signal.SIGCHLD], left_s)
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return status, usage, False
    os.kill(pid, _signal.SIGKILL)  # by its own id too: it may not have called setsid yet
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, _signal.SIGKILL)
    return *os.wait4(pid, 0)[1:], True


def _kill_rest(own_namespace: bool) -> None:
    """Kill whatever the program started, in any process group or session, until none is left."""
    if not own_namespace:
        while _reap():
            for child in _children():
                os.kill(child, _signal.SIGKILL)
            time.sleep(0.0002)
        return
    try:
        while True:
            os.kill(-1, _signal.SIGKILL)
            time.sleep(0.0002)
            _reap()
    except ProcessLookupError:
        return


def _reap() -> bool:
    """Reap the children that have ended; whether any is left."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _children() -> list[int]:
    with open("/proc/thread-self/children", encoding="ascii") as file:
        return [int(pid) for pid in file.read().split()]


def _empty(folder: str) -> bool:
    """Remove all that the program left in its folder; False where it made that impossible."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    os.unlink(entry.path)
                    continue
                os.chmod(entry.path, 0o700)
                if not _empty(entry.path):
                    return False
                os.rmdir(entry.path)
    except (OSError, RecursionError):
        return False
    return True


def _child(request: list[bytes], fds: list[int], prctl: Callable[..., int] | None) -> None:
    """Become the program. Never returns."""
    code = 1
    said = b"I"  # an end before the program began is the sandbox's fault
    try:
        source = _become(request, fds, prctl)
        said = b""
        code, said = _program(request[6].decode(), source)
    except BaseException as error:
        os.write(2, f"{error!r}\n".encode(errors="replace"))
    finally:
        try:
            os.write(RESULT_FD, said)
        finally:
            os._exit(code)


def _become(request: list[bytes], fds: list[int], prctl: Callable[..., int] | None) -> bytes:
    """Put session, files and limits in place; returns the source."""
    os.setsid()
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, _signal.SIGKILL, 0, 0, 0)
    source = os.read(fds[0], int(request[1]))
    for target, fd in enumerate(fds[1:]):  # none of these is below RESULT_FD, so none is lost
        os.dup2(fd, target)
    os.closerange(RESULT_FD + 1, OPEN_FILES)
    _limit(resource.RLIMIT_NPROC, int(request[5]))
    _limit(resource.RLIMIT_FSIZE, int(request[4]))
    _limit(resource.RLIMIT_CPU, int(request[2]))
    _limit(resource.RLIMIT_AS, int(request[3]))
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, [_signal.SIGCHLD])
    return source


def _program(function: str, source: bytes) -> tuple[int, bytes]:
    """Compile and run; returns the exit status and what to say of it on the result file."""
    # A function's file is imported, so that a main guard with a trial of it does not run.
    module = types.ModuleType("solution" if function else "__main__")
    module.__file__ = sys.argv[0] = "solution.py"
    del sys.argv[1:]
    sys.modules[module.__name__] = module
    dumps, arguments = json.dumps, []
    if function:
        arguments = [json.loads(line) for line in sys.stdin.read().split("\n") if line.strip()]
    try:
        program = compile(source, "solution.py", "exec", dont_inherit=True)
    except Exception:
        # Any: deep nesting raises MemoryError or RecursionError, a null byte ValueError.
        _show_exception()
        return 1, b"S"
    code, answer = 0, b""
    try:
        exec(program, module.__dict__)
        if function:
            answer = b"R" + dumps(_find(module, function)(*arguments)).encode()
    except SystemExit as exit_:
        if isinstance(exit_.code, int):
            code = exit_.code & 0xFF
        elif exit_.code is not None:
            print(exit_.code, file=sys.stderr)
            code = 1
    except MemoryError:
        os.write(2, b"MemoryError\n")  # a traceback would need memory
        return 1, b"M"
    except BaseException:
        _show_exception()
        code = 1
    unwritten = _end(module)
    return code or unwritten, answer


def _find(module: types.ModuleType, function: str) -> Callable[..., Any]:
    solution = getattr(module, "Solution", None)
    if isinstance(solution, type) and hasattr(solution, function):
        return getattr(solution(), function)
    if not hasattr(module, function):
        raise NameError(f"the program defines no function {function!r}")
    return getattr(module, function)


def _show_exception() -> None:
    kind, error, trace = sys.exc_info()
    if kind is not None and error is not None and trace is not None:
        trace = trace.tb_next  # without this module's own frame
        sys.excepthook(kind, error.with_traceback(trace), trace)


def _end(module: types.ModuleType) -> int:
    """What an interpreter does at its end: wait for threads, call exit functions, flush, close.

    Returns the exit status: 120, as Python's own, where stdout could not take what was left.
    """
    if "threading" in sys.modules:
        sys.modules["threading"]._shutdown()
    atexit._run_exitfuncs()
    try:
        for stream in (sys.stdout, sys.stderr):
            if not getattr(stream, "closed", False):
                stream.flush()
        # Files that the program opened on its own, such as open(1, "w"), are flushed when freed.
        del stream
        stdout = sys.stdout = sys.__stdout__
        module.__dict__.clear()
        gc.collect()
        if stdout is not None and not stdout.closed:
            stdout.flush()
    except Exception as error:
        os.write(2, f"{error}\n".encode())
        return 120
    return 0


if __name__ == "__main__":
    main()
