"""Inside the sandbox: a warm interpreter that forks one fresh process for each test.

`sandbox.py` runs it by path: `python -s -S -P driver.py CONTROL_FD WORK_FOLDER PID_NAMESPACE`. It
imports nothing but the standard library, and the grader never imports it. Starting Python for each
test would cost ten times the test; forking an interpreter that is already warm does not.

A request on the control socket is a JSON object of limits with five files: the source, what the
program reads as stdin, what receives its stdout, its stderr, and the answer of its function. The
answer to it tells how the process ended and what it used. What was expected of the program is never
sent here: the files go back to the grader, which compares.

The program may not outlive its test: everything it started is killed, and its files are removed.
"""

# ruff: noqa: PTH, SIM105, SIM115 - pathlib and contextlib are pages that each fork would copy

from __future__ import annotations

import _sitebuiltins
import _thread
import atexit
import builtins
import gc
import json
import os
import resource
import shutil
import signal
import socket
import sys
import time
import types

# Imported for the programs only: nearly all of them use some, and a warm import is free.
import bisect  # noqa: F401, isort:skip
import collections  # noqa: F401, isort:skip
import functools  # noqa: F401, isort:skip
import heapq  # noqa: F401, isort:skip
import itertools  # noqa: F401, isort:skip
import math  # noqa: F401, isort:skip
import random  # noqa: F401, isort:skip
import re  # noqa: F401, isort:skip
import string  # noqa: F401, isort:skip
import typing  # noqa: F401, isort:skip

RESULT_FD = 3
THREAD_STACK_BYTES = 8 << 20
OPEN_FILES = 64
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
WARM_UP = b"""
import sys
def f(n, *rest, key=None):
    return [x * 2 for x in range(n) if x % 3 != 1]
class C:
    def __init__(self, a):
        self.a = {a: "b", "c": (1, 2.5)}
print(sum(f(int("7"))), C(3).a, f"{3 / 2:.2f}", *sorted(map(int, "3 1 2".split())), file=sys.stderr)
"""


def main() -> None:
    """Serve requests until the grader closes the control socket."""
    control = socket.socket(fileno=int(sys.argv[1]))
    work_folder = sys.argv[2]
    own_namespace = os.readlink("/proc/self/ns/pid") != sys.argv[3]
    prctl = None
    if not own_namespace:  # orphans must become children of this process to be found
        import ctypes

        prctl = ctypes.CDLL(None).prctl
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    builtins.quit = _sitebuiltins.Quitter("quit", "Ctrl-D (i.e. EOF)")  # -S leaves them out
    builtins.exit = _sitebuiltins.Quitter("exit", "Ctrl-D (i.e. EOF)")
    os.environ.clear()  # what it held was for this interpreter's start
    # The stack of the main thread may grow far, for deep recursion; each other thread would
    # reserve as much of its address space at once.
    _thread.stack_size(THREAD_STACK_BYTES)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    _warm_up()
    while True:
        message, fds, _, _ = socket.recv_fds(control, 4096, 5)
        if not message:
            return
        request = json.loads(message)
        started = time.perf_counter()
        pid = os.fork()
        if pid == 0:
            _child(request, fds, work_folder, prctl)
        for fd in fds:
            os.close(fd)
        status, usage, timed_out = _wait(pid, request["wall_s"])
        wall_s = time.perf_counter() - started
        _kill_rest(own_namespace)
        clean = _empty(work_folder)
        reply = {
            "status": status,
            "timed_out": timed_out,
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "wall_s": wall_s,
        }
        control.send(json.dumps(reply).encode())
        if not clean:  # the grader starts another sandbox with another folder
            return


def _warm_up() -> None:
    """Touch the memory and code that compiling and running need: a fork copies it, faulted in."""
    stderr, sys.stderr = sys.stderr, open(os.devnull, "w", encoding="utf-8")
    for _ in range(3):
        exec(compile(WARM_UP, "warm_up.py", "exec"), {"__name__": "warm_up"})
    sys.stderr = stderr
    gc.collect()
    gc.freeze()


def _wait(pid: int, wall_s: float) -> tuple[int, resource.struct_rusage, bool]:
    """The wait status and usage of the child, and whether the wall limit had to end it."""
    deadline = time.monotonic() + wall_s
    timed_out = False
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return status, usage, timed_out
        left_s = deadline - time.monotonic()
        if left_s <= 0:
            timed_out = True
            os.kill(pid, signal.SIGKILL)  # by its own id too: it may not have called setsid yet
            try:
                os.killpg(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            _, status, usage = os.wait4(pid, 0)
            return status, usage, timed_out
        signal.sigtimedwait([signal.SIGCHLD], left_s)


def _kill_rest(own_namespace: bool) -> None:
    """Kill whatever the program started, in any process group or session, until none is left."""
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            if not own_namespace:
                return
        try:
            if own_namespace:
                os.kill(-1, signal.SIGKILL)
            else:
                for child in _children():
                    os.kill(child, signal.SIGKILL)
        except ProcessLookupError:
            return
        time.sleep(0.0002)


def _children() -> list[int]:
    with open("/proc/thread-self/children", encoding="ascii") as file:
        return [int(pid) for pid in file.read().split()]


def _empty(folder: str) -> bool:
    """Remove all that the program left in its folder; False where it made that impossible."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    shutil.rmtree(entry.path)
                else:
                    os.unlink(entry.path)
    except (OSError, RecursionError):
        return False
    return True


def _child(request: dict, fds: list[int], work_folder: str, prctl: object) -> None:
    """Become the program. Never returns."""
    code = 1
    say = b"I"  # what the grader makes of an end before the program began: not the program's fault
    try:
        source = _become(request, fds, work_folder, prctl)
        say = b""
        code, say = _program(request, source)
    except BaseException as error:
        os.write(2, f"sandbox: {error!r}\n".encode(errors="replace"))
    finally:
        try:
            os.write(RESULT_FD, say)
        finally:
            os._exit(code)


def _become(request: dict, fds: list[int], work_folder: str, prctl: object) -> bytes:
    """Put files, limits, folder and session in place; returns the source."""
    os.setsid()
    if callable(prctl):
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    with open(fds[0], "rb") as file:
        source = file.read()
    for target, fd in enumerate(fds[1:]):
        os.dup2(fd, target + 100)
    for target in range(4):
        os.dup2(target + 100, target, inheritable=target < RESULT_FD)
    os.closerange(RESULT_FD + 1, 1024)
    os.chdir(work_folder)
    _open_standard_files()
    limits = (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_NPROC, request["processes"]),
        (resource.RLIMIT_FSIZE, request["file_bytes"]),
        (resource.RLIMIT_CPU, request["cpu_s"]),
        (resource.RLIMIT_AS, request["memory_bytes"]),
    )
    for limit, value in limits:
        hard = resource.getrlimit(limit)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (value, value))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # too much output ends the program at once
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    return source


def _open_standard_files() -> None:
    """As a Python that has just started has them: UTF-8, and no translation of line ends."""
    how = {"encoding": "utf-8", "newline": "\n", "closefd": False}
    sys.stdin = sys.__stdin__ = open(0, errors="surrogateescape", **how)
    sys.stdout = sys.__stdout__ = open(1, "w", errors="surrogateescape", **how)
    sys.stderr = sys.__stderr__ = open(
        2, "w", errors="backslashreplace", buffering=1, **how
    )


def _program(request: dict, source: bytes) -> tuple[int, bytes]:
    """Compile and run; returns the exit status and what to say of it on the result file."""
    function = request["function"]
    # A function's file is imported, so that a main guard with a trial of it does not run.
    module = types.ModuleType("__main__" if function is None else "solution")
    module.__file__ = sys.argv[0] = "solution.py"
    del sys.argv[1:]
    sys.modules[module.__name__] = module
    dumps, arguments = json.dumps, []
    if function is not None:
        with open(0, encoding="utf-8", newline="\n", closefd=False) as file:
            arguments = [json.loads(line) for line in file.read().split("\n") if line.strip()]
    try:
        program = compile(source, "solution.py", "exec", dont_inherit=True)
    except Exception:
        # Any: deep nesting raises MemoryError or RecursionError, a null byte ValueError.
        _show_exception()
        return 1, b"S"
    code, answer = 0, b""
    try:
        exec(program, module.__dict__)
        if function is not None:
            answer = b"R" + dumps(_find(module, function)(*arguments)).encode()
    except SystemExit as exit_:
        if exit_.code is not None and not isinstance(exit_.code, int):
            print(exit_.code, file=sys.stderr)
        code = 0 if exit_.code is None else exit_.code & 0xFF if isinstance(exit_.code, int) else 1
    except MemoryError:
        os.write(2, b"MemoryError\n")  # a traceback would need memory
        return 1, b"M"
    except BaseException:
        _show_exception()
        return 1, b""
    return code or _end(module), answer


def _find(module: types.ModuleType, function: str) -> object:
    solution = getattr(module, "Solution", None)
    if isinstance(solution, type) and hasattr(solution, function):
        return getattr(solution(), function)
    if not hasattr(module, function):
        raise NameError(f"the program defines no function {function!r}")
    return getattr(module, function)


def _show_exception() -> None:
    kind, error, trace = sys.exc_info()
    if error is not None and trace is not None:  # without this module's own frame
        sys.excepthook(kind, error.with_traceback(trace.tb_next), trace.tb_next)


def _end(module: types.ModuleType) -> int:
    """What an interpreter does at its end: wait for threads, call exit functions, flush, close.

    Returns the exit status: 120 where stdout could not take what was left, as Python's own.
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
        sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
        module.__dict__.clear()
        gc.collect()
        if not sys.stdout.closed:
            sys.stdout.flush()
    except (OSError, ValueError) as error:
        os.write(2, f"{error}\n".encode())
        return 120
    return 0


if __name__ == "__main__":
    main()
