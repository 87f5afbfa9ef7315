"""One program: what a fork puts in place to become it, how it is run, and how its interpreter ends."""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import atexit
import gc
import json
import marshal
import os
import resource
import sys
import types
from collections.abc import Callable
from typing import Any, NoReturn

from . import prelude

RESULT_FD = 3
CODE_FD = 4
"""Takes the compiled program, for its next tests, and is closed before the program runs."""
MOST_CODE_BYTES = 1 << 16
"""What a pipe takes at once."""
OPEN_FILES = 64


def open_standard_files() -> None:
    """As a Python that has just started has them: UTF-8, and line ends are not translated."""
    how: dict[str, Any] = {"encoding": "utf-8", "newline": "\n", "closefd": False}
    sys.stdin = open(0, errors="surrogateescape", **how)  # noqa: SIM115
    sys.stdout = open(1, "w", errors="surrogateescape", **how)  # noqa: SIM115
    sys.stderr = open(2, "w", errors="backslashreplace", buffering=1, **how)  # noqa: SIM115
    for name in ("stdin", "stdout", "stderr"):
        setattr(sys, f"__{name}__", getattr(sys, name))


def limit(resource_limit: int, value: int) -> None:
    """Set a limit, or the one that holds already where that is lower."""
    hard = resource.getrlimit(resource_limit)[1]
    if hard != resource.RLIM_INFINITY and hard < value:
        value = hard
    resource.setrlimit(resource_limit, (value, value))


def become(
    request: list[bytes], fds: list[int], enter: Callable[[], None], compiled: bytes = b""
) -> NoReturn:
    """Be the program of a request, in a process of its own.

    Args:
        fds: source, stdin, stdout, stderr, result, and what is to take the compiled program, if any.
        enter: parts this process from the driver, see `confine`.
        compiled: the program, where a test before has compiled it.
    """
    code = 1
    said = b"I"  # an end before the program began is the sandbox's fault
    try:
        source = put_in_place(request, fds, enter)
        said = b""
        code, said = run(request[6].decode(), source, compiled, len(fds) - 1 > CODE_FD)
    except BaseException as error:
        os.write(2, f"{error!r}\n".encode(errors="replace"))
    finally:
        try:
            os.write(RESULT_FD, said)
        finally:
            os._exit(code)


def put_in_place(request: list[bytes], fds: list[int], enter: Callable[[], None]) -> bytes:
    """Put session, files (source, stdin, stdout, stderr, result, code) and limits in place.

    Returns the source.
    """
    os.setsid()
    enter()
    source = os.pread(fds[0], int(request[1]), 0)
    for target, fd in enumerate(fds[1:]):  # none of these is below RESULT_FD, so none is lost
        os.dup2(fd, target)
    os.closerange(len(fds) - 1, OPEN_FILES)
    limit(resource.RLIMIT_NPROC, int(request[5]))
    limit(resource.RLIMIT_FSIZE, int(request[4]))
    limit(resource.RLIMIT_CPU, int(request[2]))
    limit(resource.RLIMIT_AS, int(request[3]))
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, [_signal.SIGCHLD])
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    return source


def run(
    function: str, source: bytes, compiled: bytes = b"", tells: bool = False
) -> tuple[int, bytes]:
    """Compile and run; returns the exit status and what to say of it on the result file.

    Args:
        compiled: the program, if it has been compiled before.
        tells: whether to say on `CODE_FD` what was compiled.
    """
    # A function's file is imported, so that a main guard with a trial of it does not run.
    module = types.ModuleType("solution" if function else "__main__")
    module.__file__ = sys.argv[0] = "solution.py"
    del sys.argv[1:]
    sys.modules[module.__name__] = module
    dumps, arguments = json.dumps, []
    if function:
        arguments = [json.loads(line) for line in sys.stdin.read().split("\n") if line.strip()]
    try:
        program = marshal.loads(compiled) if compiled else _compiled(source, tells)
    except Exception:
        # Any: deep nesting raises MemoryError or RecursionError, a null byte ValueError.
        _show_exception()
        return 1, b"S"
    code, answer = 0, b""
    try:
        if function:
            exec(prelude.CODE, module.__dict__)
        exec(program, module.__dict__)
        if function:
            value = _find(module, function)(*arguments)
            answer = b"R" + dumps(value, default=_plain).encode()
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


def _compiled(source: bytes, tells: bool) -> types.CodeType:
    program = compile(source, "solution.py", "exec", dont_inherit=True)
    if tells:
        try:
            told = marshal.dumps(program)
        except ValueError:  # nested too deeply
            told = b""
        if len(told) <= MOST_CODE_BYTES:
            os.write(CODE_FD, told)
        os.close(CODE_FD)
    return program


def _find(module: types.ModuleType, function: str) -> Callable[..., Any]:
    solution = getattr(module, "Solution", None)
    if isinstance(solution, type) and hasattr(solution, function):
        return getattr(solution(), function)
    if not hasattr(module, function):
        raise NameError(f"the program defines no function {function!r}")
    return getattr(module, function)


def _plain(value: Any) -> Any:
    """A NumPy scalar or array as numbers.

    Raises:
        TypeError: it is something else that JSON cannot say.
    """
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


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
