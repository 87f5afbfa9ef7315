"""Outcomes: how a program ended, from its exit status, what was seen of it, and what it wrote."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from valley.evaluate.started import SandboxError

STDERR_TAIL_BYTES = 4096


@dataclass(frozen=True)
class Outcome:
    """How a program ended. `answer` is the JSON text of a function's result, None without one.

    `exit_code` is negative for a signal, as in `subprocess`. `stderr` is the end of what it wrote.
    """

    stdout: bytes
    stderr: str
    answer: bytes | None
    exit_code: int
    syntax_error: bool
    memory_exceeded: bool
    output_exceeded: bool
    timed_out: bool
    cpu_s: float
    wall_s: float


@dataclass(frozen=True)
class Ended:
    """How a program ended: its exit status by the driver's word, the rest as seen from here."""

    exit_code: int
    timed_out: bool
    exceeded: str
    cpu_s: float
    wall_s: float


def outcome_of(
    ended: Ended, outputs: tuple[bytes, bytes, bytes], output_limit_bytes: int
) -> Outcome:
    """What became of the program, from how it ended and what it wrote.

    The first byte of the result file says R and a function's result, or what went wrong: S with the
    syntax, M with memory, I inside the sandbox. A program could write there as well, and gain no
    more than by returning it.
    """
    stdout, stderr, result = outputs
    said = result[:1]
    exit_code = ended.exit_code
    if ended.exceeded and exit_code == 0:  # what it left running was too much
        exit_code = -signal.SIGKILL
    output_exceeded = (
        exit_code == -signal.SIGXFSZ
        or ended.exceeded == "files"
        or max(map(len, outputs)) > output_limit_bytes
    )
    stderr_tail = stderr[-STDERR_TAIL_BYTES:].decode(errors="replace")
    if said == b"I":
        raise SandboxError(ascii(stderr_tail[-500:]))  # a program may have written it
    # A kill that no limit of ours explains is the kernel's, out of memory.
    explained = ended.timed_out or output_exceeded or ended.exceeded
    return Outcome(
        stdout=stdout[:output_limit_bytes],
        stderr=stderr_tail,
        answer=result[1:] if said == b"R" else None,
        exit_code=exit_code,
        syntax_error=exit_code != 0 and said == b"S",
        memory_exceeded=(exit_code != 0 and said == b"M")
        or ended.exceeded == "memory"
        or (exit_code == -signal.SIGKILL and not explained),
        output_exceeded=output_exceeded,
        timed_out=ended.timed_out,
        cpu_s=ended.cpu_s,
        wall_s=ended.wall_s,
    )


def broke_its_sandbox(what: str) -> Outcome:
    """The outcome of a program that ends its own driver each time: it ran, and failed."""
    return Outcome(b"", what, None, -signal.SIGKILL, False, False, False, False, 0.0, 0.0)
