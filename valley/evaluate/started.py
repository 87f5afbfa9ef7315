"""A started driver: its process behind an isolation, what counts and bounds it, and its end.

Before the driver's first line runs it is in its control group, where one can be had, and first in
line where the machine runs out of memory. Whose process it is, the kernel says and not the driver.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import subprocess
import tempfile

from valley.evaluate.cgroup import Cgroup
from valley.evaluate.interpreter import START_LIMIT_S, start
from valley.evaluate.isolation import BOX, BOX_BYTES, Isolation
from valley.evaluate.nursery import Nursery
from valley.evaluate.unused_user import UnusedUser
from valley.evaluate.watch import Watch, used_s

COUNTED_ALONE = "own process count"
"""The driver's word that processes outside its user namespace are not counted (since Linux 5.14)."""
DRIVER_BYTES = 64 << 20
"""What a control group holds besides the program and the box's files."""
END_LIMIT_S = 10.0
_CREDENTIALS = struct.Struct("3i")


class SandboxError(Exception):
    """The sandbox failed, not the program: it could not start, died, or no longer answers."""


class Started:
    """One driver that has said what is in force. `control` is the socket to it, `pid` its process."""

    def __init__(self, isolation: Isolation, nursery: Nursery | None = None) -> None:
        """Start it, and wait until it is ready.

        Args:
            nursery: one of this isolation, to bear it; else it is started with its interpreter.

        Raises:
            SandboxError: it could not be started, or gave up at the start.
        """
        self._undo = contextlib.ExitStack()
        try:
            errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        except OSError as error:
            raise SandboxError(f"no file for what it says: {error}") from error
        self._errors = self._undo.enter_context(errors)
        try:
            self._start(isolation, nursery)
        except (OSError, LookupError) as error:
            fault = SandboxError(self.fault(str(error)))
            self._undo.close()
            raise fault from error

    def _start(self, isolation: Isolation, nursery: Nursery | None) -> None:
        user = None if nursery is None else nursery.user
        if nursery is None and isolation.user != "same":
            user = UnusedUser()
            self._undo.callback(user.close)
        self.owner = -1 if user is None else user.uid
        """The user to own what the program is given, -1 for the one of this process."""
        self.folder = BOX if isolation.own_root else self._made_folder()
        self._cgroup, self._group = self._grouped()
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._undo.callback(self.control.close)
        self.control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        inside = self.owner if isolation.user == "inside" else -1
        outside = self.owner if isolation.user == "outside" else -1
        self.pid = -1
        self._process: subprocess.Popen[bytes] | None = None
        self._undo.callback(self._end)
        with theirs:
            if nursery is None:
                self._process = start(
                    *("server", isolation, theirs, self.folder, self._errors),
                    inside=inside,
                    outside=outside,
                )
                self._put_in_place(self._process)
            else:
                nursery.bear(theirs, inside)
        said, self.pid = self._ready()
        if nursery is not None:
            self._take_in(self.pid)
        apart = _apart(self.pid)
        words = [isolation.name, *([f"namespaces ({' '.join(apart)})"] if apart else [])]
        words += ["own root"] if isolation.own_root else []
        *more, count = said.decode().split(", ")
        self.counts_alone = self.owner >= 0 or ("user" in apart and count == COUNTED_ALONE)
        """Whether RLIMIT_NPROC counts the processes here and no others of their user."""
        counted = COUNTED_ALONE if self.counts_alone else "shared process count"
        words += [*more, counted, self._group]
        self.layers = " + ".join(words)
        """What is in force, in words."""
        self._stat = os.open(f"/proc/{self.pid}/stat", os.O_RDONLY)
        self._undo.callback(os.close, self._stat)
        self._used_s = self._total_s()

    def _put_in_place(self, process: subprocess.Popen[bytes]) -> None:
        """Before it leaves the shell: in its control group, and first to go where memory ends."""
        assert process.stdin is not None
        with process.stdin:
            with (
                contextlib.suppress(OSError),
                open(f"/proc/{process.pid}/oom_score_adj", "w") as file,
            ):
                file.write("1000")
            self._take_in(process.pid)

    def _take_in(self, pid: int) -> None:
        if self._cgroup is not None:
            try:
                self._cgroup.add(pid)
            except OSError as error:  # the folder is this user's, but not the way into it
                self._cgroup, self._group = None, f"no cgroup ({error.strerror})"

    def _made_folder(self) -> str:
        folder = tempfile.mkdtemp(prefix="valley-")
        self._undo.callback(_remove, folder)
        os.chown(folder, self.owner, -1)
        return folder

    def _grouped(self) -> tuple[Cgroup | None, str]:
        try:
            group = Cgroup()
        except OSError as error:
            return None, f"no cgroup ({error.strerror})"
        self._undo.callback(group.close)
        return group, group.words

    def _ready(self) -> tuple[bytes, int]:
        """What the driver says, and its process id as the kernel tells it."""
        self.control.settimeout(START_LIMIT_S)
        said, ancillary, _, _ = self.control.recvmsg(4096, socket.CMSG_SPACE(_CREDENTIALS.size))
        self.control.settimeout(None)
        if not said:
            raise ConnectionError("it could not be started")
        self.control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
        for _, kind, data in ancillary:
            if kind == socket.SCM_CREDENTIALS:
                return said, _CREDENTIALS.unpack(data[: _CREDENTIALS.size])[0]
        raise ConnectionError("the kernel does not say who it is")

    def watch(self, memory_bytes: int, cpu_s: float) -> Watch:
        """A watch for one run, and the same bounds on the control group with room for the driver."""
        if self._cgroup is not None:
            self._cgroup.bound(memory_bytes + BOX_BYTES + DRIVER_BYTES)
        folder = None if self.folder == BOX else self.folder
        return Watch(self.pid, memory_bytes, cpu_s, folder)

    def used_s(self) -> float:
        """CPU time used since this was last asked, of all that ran and has ended."""
        total_s = self._total_s()
        used_s, self._used_s = total_s - self._used_s, total_s
        return used_s

    def _total_s(self) -> float:
        return used_s(self._stat) if self._cgroup is None else self._cgroup.cpu_s()

    def fault(self, what: str) -> str:
        """What happened, with what was written to stderr at the end."""
        size = os.fstat(self._errors.fileno()).st_size
        tail = os.pread(self._errors.fileno(), 1000, max(size - 1000, 0))
        return f"{what}: {tail.decode(errors='replace').strip() or 'no message'}"

    def _end(self) -> None:
        if self._cgroup is not None:
            self._cgroup.kill()
        if self.pid > 0:
            with contextlib.suppress(ProcessLookupError):
                held = os.pidfd_open(self.pid)
                try:
                    Watch(self.pid, 0, 0).kill_all()
                    # The first process of a pid namespace has ended when all others in it have.
                    ended = select.poll()  # `select` takes no descriptor above 1,023
                    ended.register(held, select.POLLIN)
                    ended.poll(END_LIMIT_S * 1e3)
                finally:
                    os.close(held)
        if self._process is not None:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def close(self) -> None:
        """End the driver and all that runs in it, and remove what was made for it."""
        self._undo.close()


def _apart(pid: int) -> list[str]:
    """The namespaces of a process that are not this one's; none where that cannot be seen."""
    kinds = []
    for kind in ("user", "pid", "mnt", "net", "ipc", "uts", "cgroup"):
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}"):
                kinds.append(kind)
    return kinds


def _remove(folder: str) -> None:
    # Not shutil.rmtree: a program may nest folders deeper than it can recurse.
    for command in (["/bin/chmod", "-R", "u+rwx"], ["/bin/rm", "-rf"]):
        subprocess.run([*command, "--", folder], stderr=subprocess.DEVNULL)
