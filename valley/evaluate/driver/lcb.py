"""Runs a program on all its tests as LiveCodeBench's grader does, its false verdicts included.

Written anew after LiveCodeBench's `testing_util.py` and `compute_code_generation_metrics.py` at
commit 28fef95, to give the same verdicts; docs/grading.md lists what it gets wrong, by name. A
program is wrapped into a function that is called once per test in this one process, with stdin and
stdout replaced by objects in memory; what is expected of it is compared here, where it could look
at it and change it. So in this mode, and in no other, the expected outputs are in the sandbox.

A program that looks is to pass as it passes there: functions call each other as deep as upstream's
do, and the variables that such a program searches for have upstream's names (`gt_inp`, `gt_out`,
`all_outputs`, `in_outs`, `sample`, `result`). What it did to be able to look is told to the grader
(`cheats.py`).

What is told, as lines on the result file: `.` for each test passed, `cheat …`, then `result` with
1 or 0 per test, and `code` with upstream's error code. Where one of the last two is missing, the
process had ended before: upstream's -5.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import os
import resource
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from . import lcb_tests, prelude, program
from .cheats import Watch
from .lcb_alarm import Alarm

INT_DIGITS = 50_000
"""Longest integer that converts to and from text."""
STACK_BYTES = 8 << 20
"""Of the main thread, as most systems have it: deep recursion through C code ends the process."""
DEPTH = 23
"""Frames that make the stack as deep as under upstream's runner: `ast.unparse` fails at 1,000."""


@functools.cache
def warm() -> None:
    """Import once what all runs need and few drivers do, before the first of them is forked."""
    import ast
    import decimal  # noqa: F401
    import faulthandler  # noqa: F401
    import shutil  # noqa: F401
    import subprocess  # noqa: F401

    prelude.warm()
    for _ in range(20):  # so that this code is specialised
        ast.unparse(ast.parse(prelude.SOURCE))
    gc.collect()
    gc.freeze()


def become(request: list[bytes], fds: list[int], enter: Callable[[], None]) -> NoReturn:
    """Be the program of a request, in a process of its own, until all its tests have run.

    Besides what `program.become` takes there is a sixth descriptor, the tests, and at the end of the
    request the seconds per test, the bytes of the tests, and the folder of NumPy in hexadecimal.
    """
    code, said = 1, b"I"
    try:
        timeout, tests_bytes = map(int, request[7:9])
        tests = os.pread(fds[5], tests_bytes, 0)
        source = program.put_in_place(request, fds[:5], enter)
        all_inputs, all_outputs = read_tests(tests)
        os.write(program.RESULT_FD, b"R")
        said = b""
        _take_upstream_place(source, bytes.fromhex(request[9].decode()).decode())
        in_outs: dict[str, Any] = {"inputs": all_inputs, "outputs": all_outputs}
        if request[6]:
            in_outs["fn_name"] = request[6].decode()
        generation = source.decode(errors="surrogatepass")
        _at_depth(DEPTH, lambda: _report(_Sample(in_outs), generation, timeout))
        code = 0
    except BaseException as error:
        os.write(2, f"{error!r}\n".encode(errors="replace"))
    finally:
        try:
            os.write(program.RESULT_FD, said)
        finally:
            os._exit(code)


def read_tests(tests: bytes) -> tuple[list[str], list[str]]:
    """Inputs and outputs, from what `valley.evaluate.lcb.pack_tests` wrote."""
    texts = []
    position = tests.index(b"\n") + 1
    for length in map(int, tests[:position].split()):
        texts.append(tests[position : position + length].decode(errors="surrogatepass"))
        position += length
    return texts[::2], texts[1::2]


class _Sample(dict[str, Any]):
    """What upstream's grader is given; its JSON text is only made for a program that looks."""

    def __init__(self, in_outs: dict[str, Any]) -> None:
        super().__init__()
        self.in_outs = in_outs

    def __missing__(self, key: str) -> str:
        if key != "input_output":
            raise KeyError(key)
        return json.dumps(self.in_outs)


def _at_depth(frames: int, call: Callable[[], None]) -> None:
    if frames:
        _at_depth(frames - 1, call)
    else:
        call()


# What holds while upstream's grader runs a program


_GONE = {
    "os": "kill system putenv remove removedirs rmdir fchdir setuid fork forkpty killpg rename "
    "renames truncate replace unlink fchmod fchown chmod chown chroot lchflags lchmod lchown "
    "getcwd chdir",
    "shutil": "rmtree move chown",
    "subprocess": "Popen",
    "builtins": "quit help",
}
_HIDDEN_MODULES = ("ipdb", "joblib", "resource", "psutil", "tkinter")
_COMPANIONS = {
    "asyncio": ("asyncio",),
    "concurrent": ("concurrent.futures.process",),
    "importlib": ("importlib.metadata", "importlib.resources", "importlib.util"),
    "multiprocessing": ("multiprocessing.managers", "multiprocessing.pool"),
    "numpy": ("numpy",),
    "tempfile": ("tempfile",),
    "unittest": ("unittest.mock",),
    "urllib": ("urllib.parse",),
}
"""Modules that upstream itself has imported: those find all of `os`, and their parents know them."""


def _take_upstream_place(source: bytes, packages: str) -> None:
    """No real stdin or output, upstream's limits, and the functions gone that it takes away."""
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.path.append(packages)
    for package, modules in _COMPANIONS.items():
        if package.encode() in source:
            for name in modules:
                with contextlib.suppress(ImportError):
                    __import__(name)
    sys.path.pop()
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(nothing, fd)
    if sys.stdin is not None:
        sys.stdin.close()  # sys.__stdin__ too
    sys.stdin = open(nothing, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.set_int_max_str_digits(INT_DIGITS)
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    resource.setrlimit(resource.RLIMIT_STACK, (STACK_BYTES, hard))
    for module, names in _GONE.items():
        for name in names.split():
            setattr(sys.modules[module], name, None)
    for name in _HIDDEN_MODULES:
        sys.modules[name] = None  # type: ignore[assignment]


# One solution


class _Line:
    """A list of upstream's that its grader reads: what is appended is told at once."""

    def __init__(self, tell: Callable[[Any], str]) -> None:
        self._tell = tell

    def append(self, value: Any) -> None:
        os.write(program.RESULT_FD, f"\n{self._tell(value)}\n".encode())


def _report(sample: _Sample, generation: str, timeout: int) -> None:
    result, metadata_list = _Line(_result_line), _Line(_code_line)
    watch = Watch(_Line(lambda cheat: f"cheat {cheat}").append)
    alarm = Alarm(timeout)
    res, metadata = lcb_tests.run_tests(sample.in_outs, generation, alarm, watch)
    watch.compare_names()
    if alarm.elapsed_s() > (timeout + 1) * len(sample.in_outs["inputs"]) + 5:
        return  # upstream has killed it
    result.append(res)
    metadata_list.append(metadata)


def _result_line(results: list[Any]) -> str:
    if any(type(result) not in (bool, int) for result in results):
        import pickle

        pickle.dumps(results)  # upstream sends them so, and its process ends where that fails
    return " ".join(["result", *("1" if _is_positive(result) else "0" for result in results)])


def _is_positive(result: Any) -> bool:
    """Whether upstream's metrics count a test as passed; False also where they end with an error."""
    if type(result).__module__ == "numpy":
        result = result.tolist()
        while isinstance(result, list):
            result = result[0]
    if isinstance(result, list | tuple):
        return all(map(_is_positive, result))
    try:
        return bool(result > 0)
    except Exception:
        return False


def _code_line(metadata: dict[str, Any]) -> str:
    return f"code {metadata.get('error_code', 0)} {metadata.get('kind', '')}"
