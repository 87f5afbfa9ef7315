"""What a program finds in lcb mode in place of its stdin and of `open`, as LiveCodeBench's has it."""

from __future__ import annotations

import builtins
import contextlib
import functools
import io
import sys
from collections.abc import Callable
from typing import Any


def call(method: Callable[[], Any], inputs: str) -> None:
    """Call a program's function with `inputs` to read; `exit` is an end like any other."""
    lines = iter(inputs.split("\n"))
    _Mocked(
        sys.stdin,
        {
            "read": lambda *args: inputs,
            "readlines": lambda *args: inputs.split("\n"),
            "readline": lambda *args: next(lines),
        },
        _Stdin(inputs),
        _LazyOpen(inputs),
    ).call(method)


class _Mocked:
    """What is in place of stdin and `open` during a call.

    Methods of the real stdin are replaced too: a program that has this object, by an import at its
    top level, gets lines without line ends, and StopIteration after the last.
    """

    def __init__(
        self, real: Any, methods: dict[str, Callable[..., Any]], stdin: _Stdin, opened: _LazyOpen
    ) -> None:
        self._real, self._methods, self._stdin, self._open = real, methods, stdin, opened

    def call(self, method: Callable[[], Any]) -> None:
        """Call with all in place."""
        for name, replacement in self._methods.items():
            setattr(self._real, name, replacement)
        real_open = builtins.open
        sys.stdin = self._stdin
        builtins.open = self._open
        try:
            _call_until_exit(method)
        finally:
            builtins.open = real_open
            sys.stdin = self._real
            for name in self._methods:
                delattr(self._real, name)


def _call_until_exit(_method: Callable[[], Any]) -> None:
    with contextlib.suppress(SystemExit):
        _method()


class _Stdin:
    """A stdin that cannot be iterated, and whose `read` and `readlines` always give all."""

    def __init__(self, inputs: str) -> None:
        self.inputs = inputs
        self._stringio = io.StringIO(inputs)
        self.buffer = _Buffer(inputs.encode())

    def read(self, *args: Any) -> str:
        return self.inputs

    def readline(self, *args: Any) -> str:
        return self._stringio.readline(*args)

    def readlines(self, *args: Any) -> list[str]:
        return self.inputs.split("\n")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stringio, name)


class _Buffer:
    """Bytes of which `readline` always gives the first line; it has no other methods."""

    def __init__(self, inputs: bytes) -> None:
        self.inputs = inputs

    def read(self, *args: Any) -> bytes:
        return self.inputs

    def readline(self, *args: Any) -> bytes:
        return self.inputs.split(b"\n")[0] + b"\n"


class _LazyOpen:
    """`unittest.mock.mock_open`, made when it is used: few programs reach it, and it takes long."""

    def __init__(self, inputs: str) -> None:
        self._inputs = inputs

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self._mock(*args, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mock, name)

    @functools.cached_property
    def _mock(self) -> Any:
        from unittest.mock import mock_open

        return mock_open(read_data=self._inputs)
