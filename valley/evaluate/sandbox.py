"""Runs untrusted programs: an isolation from the machine (`isolation.py`), and a driver inside it.

A `Sandbox` is one driver process (`driver/`), started once, that forks a fresh process for each
test. This side is the trusted one: it holds the other ends of a program's pipes (`exchange.py`),
bounds what it reads of them, and ends a driver that does not answer. Limits of one test:

| limit           | by                                     | seen as                         |
|-----------------|----------------------------------------|---------------------------------|
| CPU time        | RLIMIT_CPU, and the usage that is told | `Outcome.cpu_s`                 |
| wall time       | the driver's clock, then this side's   | `timed_out`                     |
| address space   | RLIMIT_AS                              | `memory_exceeded`               |
| stdout          | this side's count of what it reads     | `output_exceeded`               |
| stderr, files   | RLIMIT_FSIZE, for each                 | `output_exceeded`               |
| processes       | RLIMIT_NPROC (not for root)            | an error in the program         |
| open files      | RLIMIT_NOFILE                          | an error in the program         |
| network, pids   | namespaces                             | an error in the program         |
| everything else | read-only root, own folder             | an error in the program         |
"""

from __future__ import annotations

import functools
import logging
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from valley.errors import UserError
from valley.evaluate.exchange import Exchange
from valley.evaluate.isolation import BOX, DRIVER, Isolation, isolations

log = logging.getLogger(__name__)

START = (
    "import sys; sys.path.append(sys.argv[1]); from driver.server import main; main(*sys.argv[2:])"
)
ANSWER_MARGIN_S = 30.0
"""How long after the wall limit a driver is given up; its own start is in here too."""
STACK_KIB = 256 * 1024
SPARE_PROCESSES = 512
STDERR_TAIL_BYTES = 4096


class SandboxError(Exception):
    """The sandbox failed, not the program: it could not start, died, or no longer answers."""


@dataclass(frozen=True)
class LcbRun:
    """All tests of a run in lcb mode: a descriptor of `lcb.pack_tests`, and the seconds for each.

    `packages` is the folder that NumPy is imported from, empty where there is none.
    """

    tests_fd: int
    tests_bytes: int
    timeout_s: int
    packages: str

    def words(self) -> tuple[str, ...]:
        """What a request says of it; a path could hold blanks."""
        packages = os.fsencode(self.packages).hex()
        return str(self.timeout_s), str(self.tests_bytes), packages


@dataclass(frozen=True)
class Run:
    """One program on one test. `function` is None where the program talks by stdin and stdout.

    With `lcb` the program runs on all those tests instead, `stdin` is not used, and the limits are
    those of the whole run.
    """

    source: str
    stdin: str
    function: str | None
    cpu_limit_s: float
    wall_limit_s: float
    memory_limit_mib: int
    output_limit_bytes: int
    lcb: LcbRun | None = None


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


class Sandbox:
    """One driver, for one thread: bubblewrap ends it with the thread that started it."""

    def __init__(self, isolation: Isolation) -> None:
        """Start the driver.

        Raises:
            SandboxError: it could not be started.
        """
        self.usable = True
        """False once a program left behind what cannot be removed: nothing more is run here."""
        self._folder = None if isolation.own_root else tempfile.mkdtemp(prefix="valley-")
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._processes = _user_tasks() + SPARE_PROCESSES
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [
            # The size of the main thread's stack is fixed by what holds when it is started.
            *("/bin/sh", "-c", f'ulimit -S -s {STACK_KIB} 2>/dev/null; exec "$@"', "sh"),
            *isolation.command,
            *(os.path.realpath(sys.executable), "-s", "-S", "-P", "-X", "utf8", "-c", START),
            *(str(DRIVER.parent), str(theirs.fileno()), self._folder or BOX),
            os.readlink("/proc/self/ns/pid"),
        ]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                pass_fds=[theirs.fileno()],
                # The order of a set is the same in every driver; no symbol is looked up in a fork.
                env={"PYTHONHASHSEED": "0", "LD_BIND_NOW": "1"},
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            self._control.close()
            self._remove()
            raise SandboxError(f"{command[0]}: {error.strerror}") from error
        finally:
            theirs.close()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the driver and all that runs in it, and remove its folder."""
        self._control.close()
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._remove()

    def _remove(self) -> None:
        self._errors.close()
        if self._folder is not None:
            # Not shutil.rmtree: a program may nest folders deeper than it can recurse.
            subprocess.run(["/bin/rm", "-rf", "--", self._folder], stderr=subprocess.DEVNULL)

    def run(self, run: Run) -> Outcome:
        """Run one program on one test, and wait for its end.

        Raises:
            SandboxError: the driver died or does not answer, or this sandbox is not `usable`; it is
                of no more use.
        """
        if not self.usable:
            raise SandboxError("a program before left files that cannot be removed")
        source = run.source.encode(errors="surrogatepass")
        stdin = run.stdin.encode(errors="surrogatepass")
        request = (
            *(math.ceil(run.wall_limit_s * 1e3), len(source), math.ceil(run.cpu_limit_s + 0.2)),
            *(run.memory_limit_mib << 20, run.output_limit_bytes + 1, self._processes),
            run.function or "",
            *(run.lcb.words() if run.lcb else ()),
        )
        line = " ".join(map(str, request)).encode()
        try:
            with Exchange(source, stdin, run.output_limit_bytes) as exchange:
                fds = [*exchange.fds, *([run.lcb.tests_fd] if run.lcb else [])]
                socket.send_fds(self._control, [line], fds)
                reply = exchange.attend(self._control, run.wall_limit_s + ANSWER_MARGIN_S)
                outputs = exchange.outputs()
        except OSError as error:
            raise SandboxError(self._fault(f"no answer ({error})")) from error
        if not reply:
            raise SandboxError(self._fault("the driver ended"))
        status, timed_out, clean, cpu_s, wall_s = reply.split(b" ")
        self.usable = clean == b"1"
        return _outcome(
            os.waitstatus_to_exitcode(int(status)),
            timed_out == b"1",
            (float(cpu_s), float(wall_s)),
            outputs,
            run.output_limit_bytes,
        )

    def _fault(self, what: str) -> str:
        size = os.fstat(self._errors.fileno()).st_size
        tail = os.pread(self._errors.fileno(), 1000, max(size - 1000, 0))
        return f"{what}: {tail.decode(errors='replace').strip() or 'no message'}"


def _outcome(
    exit_code: int,
    timed_out: bool,
    used_s: tuple[float, float],
    outputs: tuple[bytes, bytes, bytes],
    output_limit_bytes: int,
) -> Outcome:
    """What became of the program, from the driver's word and what the program wrote.

    The first byte of the result file says R and a function's result, or what went wrong: S with the
    syntax, M with memory, I inside the sandbox. A program could write there as well, and gain no
    more than by returning it.
    """
    stdout, stderr, result = outputs
    said = result[:1]
    output_exceeded = exit_code == -signal.SIGXFSZ or max(map(len, outputs)) > output_limit_bytes
    stderr_tail = stderr[-STDERR_TAIL_BYTES:].decode(errors="replace")
    if said == b"I":
        raise SandboxError(stderr_tail)
    return Outcome(
        stdout=stdout[:output_limit_bytes],
        stderr=stderr_tail,
        answer=result[1:] if said == b"R" else None,
        exit_code=exit_code,
        syntax_error=exit_code != 0 and said == b"S",
        # A kill that no limit of ours explains is the kernel's, out of memory.
        memory_exceeded=(exit_code != 0 and said == b"M")
        or (exit_code == -signal.SIGKILL and not timed_out and not output_exceeded),
        output_exceeded=output_exceeded,
        timed_out=timed_out,
        cpu_s=used_s[0],
        wall_s=used_s[1],
    )


def _user_tasks() -> int:
    """Threads that this user runs on this host: RLIMIT_NPROC counts all of them."""
    me, count = os.getuid(), 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.stat().st_uid == me:
                count += sum(1 for _ in (process / "task").iterdir())
        except OSError:  # it has just ended
            continue
    return count


@functools.cache
def find_isolation(setting: str) -> Isolation:
    """The isolation that `setting` (see `GradeConfig.sandbox`) gives on this machine.

    Each candidate is tried by running a program in it, once per process.

    Raises:
        UserError: none of those allowed works.
    """
    faults = []
    for isolation in isolations():
        if setting not in ("auto", isolation.name):
            continue
        try:
            _probe(isolation)
        except SandboxError as error:
            faults.append(f"{isolation.name}: {error}")
            continue
        if setting == "auto" and isolation.name == "rlimits":
            log.warning(
                "programs run with resource limits only: they can reach the network and this "
                "user's files. Install bubblewrap, or allow user namespaces. Tried: %s",
                "; ".join(faults),
            )
        else:
            log.info("programs run in isolation %s", isolation.name)
        return isolation
    raise UserError(
        f"sandbox: {setting} does not work on this machine; allowed are auto, bwrap, unshare and "
        f"rlimits. Tried: {'; '.join(faults) or 'no such program is installed'}"
    )


def _probe(isolation: Isolation) -> None:
    run = Run("print(input())", "works\n", None, 10.0, 30.0, 512, 1 << 20)
    with Sandbox(isolation) as sandbox:
        outcome = sandbox.run(run)
    if outcome.stdout != b"works\n":
        raise SandboxError(f"a trial program ended with {outcome.exit_code}: {outcome.stderr}")
