"""What passes between the grader and one program: stdin and stdout by pipes, the rest by files.

The program is at one end of two pipes, as in a competition: it cannot seek, learns no size, and sees
the end of its input when the other end is closed. This side holds the other ends, never blocks on
them, and reads and writes in turn as the program does, so that neither waits for the other for ever:

- a program that writes before it has read all, or reads nothing, does not stop its test;
- one that closes its stdin, or ends before its end, leaves a rest that is thrown away;
- stdout is read up to its limit and one byte, and the driver is told to end what writes more.

The end of the test is the driver's word and not the end of stdout, which a process that stays behind
could hold open. Source, stderr and a function's result are files in memory: nothing is said of them
to the program, and RLIMIT_FSIZE bounds what it writes.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import time
from collections.abc import Callable
from types import TracebackType

from valley.evaluate.watch import PERIOD_S

STOP = b"stop"
"""Asks the driver to end the program at once."""
FEW_READS, FEW_BYTES, GATHER_S = 2, 4096, 0.0005
"""After so many reads in turn of less than so much, output may gather before the next: `input()` flushes what
was printed, and a program that prints after each line that it reads would wake this side as often."""
PIPE_BYTES, LARGEST_PIPE_BYTES = 1 << 16, 1 << 20
"""What a pipe holds, and what it may be made to hold without privileges, by Linux's defaults."""


class Exchange:
    """The descriptors of one test. `fds` are the driver's: source, stdin, stdout, stderr, result.

    Leaving the context closes what is still open here.
    """

    def __init__(
        self, source: bytes, stdin: bytes, output_limit_bytes: int, owner: int = -1
    ) -> None:
        """Open all, and write into stdin's pipe what it takes.

        Args:
            owner: the user that the program runs as, who may open its files again, as /dev/stdin
                does; -1 for the user of this process.

        Raises:
            OSError: too many files are open.
        """
        self.fds: list[int] = []
        self._limit_bytes = output_limit_bytes
        self._left = memoryview(stdin)
        self._parts: list[bytes] = []
        self._read_bytes = 0
        self._open: set[int] = set()
        try:
            self.fds.append(self._memory(source))
            stdin_end, self._feed = self._pipe()
            self._drain, stdout_end = self._pipe()
            self.fds += [stdin_end, stdout_end, self._memory(), self._memory()]
            if owner >= 0:
                for fd in self.fds[1:4]:
                    os.fchown(fd, owner, -1)
            os.set_blocking(self._feed, False)
            os.set_blocking(self._drain, False)
            if len(stdin) > PIPE_BYTES:
                _grow(self._feed, len(stdin))
            self._write()
        except OSError:
            self.close()
            raise

    def __enter__(self) -> Exchange:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every descriptor that is still open on this side."""
        for fd in tuple(self._open):
            self._close(fd)

    def attend(self, control: socket.socket, timeout_s: float, look: Callable[[], bool]) -> bytes:
        """Feed stdin and take stdout until the driver has replied; returns its reply.

        Call it once, when the driver has been sent `fds`. An empty reply is a driver that ended.

        Args:
            look: called every 20 ms meanwhile; whether the program has too much of anything, and is to end.

        Raises:
            OSError: the driver did not reply in time, or the control socket failed.
        """
        # Open here, they would keep the program from the end of a pipe whose other side is gone.
        for fd in self.fds[1:3]:
            self._close(fd)
        deadline = time.monotonic() + timeout_s
        look_at = time.monotonic() + PERIOD_S
        poll = select.poll()
        poll.register(control, select.POLLIN)
        poll.register(self._drain, select.POLLIN)
        if self._feed in self._open:
            poll.register(self._feed, select.POLLOUT)
        small_reads = 0
        while True:
            now = time.monotonic()
            if now >= deadline:
                raise TimeoutError(f"none within {timeout_s:.0f} s")
            if now >= look_at:
                if look():
                    control.send(STOP)
                look_at = time.monotonic() + PERIOD_S
            events = poll.poll(max(0.0, min(look_at, deadline) - now) * 1e3)
            for fd, _ in events:
                if fd == self._drain:
                    if small_reads > FEW_READS:
                        time.sleep(GATHER_S)
                    count = self._read()
                    if count is not None:
                        small_reads = small_reads + 1 if count < FEW_BYTES else 0
                    if count == 0:
                        poll.unregister(fd)
                        if self._read_bytes > self._limit_bytes:
                            control.send(STOP)
                elif fd == self._feed:
                    if not self._write():
                        poll.unregister(fd)
                else:
                    reply = control.recv(4096)
                    # All that could write has ended: what is to be had is in the pipe.
                    while self._read():
                        pass
                    return reply

    def outputs(self) -> tuple[bytes, bytes, bytes]:
        """Stdout, stderr and result, each up to its limit and one byte, after `attend`."""
        stderr, result = (_contents(fd, self._limit_bytes + 1) for fd in self.fds[3:])
        return b"".join(self._parts), stderr, result

    def _write(self) -> bool:
        """Write what the pipe takes; whether more is left for later. Closes it otherwise."""
        # The interpreter ignores SIGPIPE, so that a closed stdin is an error of this call.
        with contextlib.suppress(BrokenPipeError):
            try:
                while self._left:
                    self._left = self._left[os.write(self._feed, self._left) :]
            except BlockingIOError:
                return True
        self._close(self._feed)
        return False

    def _read(self) -> int | None:
        """Read once; returns the bytes read, 0 at the end or past the limit, None where none wait."""
        try:
            room = self._limit_bytes + 1 - self._read_bytes
            part = os.read(self._drain, min(room, PIPE_BYTES))
        except BlockingIOError:
            return None
        self._parts.append(part)
        self._read_bytes += len(part)
        return len(part) if self._read_bytes <= self._limit_bytes else 0

    def _pipe(self) -> tuple[int, int]:
        ends = os.pipe()
        self._open.update(ends)
        return ends

    def _memory(self, content: bytes = b"") -> int:
        fd = os.memfd_create("valley", os.MFD_CLOEXEC)
        self._open.add(fd)
        while content:
            content = content[os.write(fd, content) :]
        return fd

    def _close(self, fd: int) -> None:
        self._open.remove(fd)
        os.close(fd)


def _contents(fd: int, limit_bytes: int) -> bytes:
    """The first bytes of a file that the program may have left at any position."""
    parts: list[bytes] = []
    position = 0
    while position < limit_bytes and (part := os.pread(fd, limit_bytes - position, position)):
        parts.append(part)
        position += len(part)
    return b"".join(parts)


def _grow(pipe: int, size_bytes: int) -> None:
    """Let a pipe hold more, so that one large read gets all of the input, whoever runs first."""
    # Refused where this user's pipes hold too much already: such a read then gets a part.
    with contextlib.suppress(PermissionError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, min(size_bytes, LARGEST_PIPE_BYTES))
