"""A started driver: its process behind an isolation, what counts and bounds it, and its end.

Before the driver's first line runs it is in its control group, where one can be had, and first in
line where the machine runs out of memory. Whose process it is, the kernel says and not the driver.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile

from valley.evaluate.cgroup import Cgroup
from valley.evaluate.isolation import BOX, DRIVER, Isolation, readable
from valley.evaluate.unused_user import UnusedUser
from valley.evaluate.watch import Watch, used_s

START = (
    "import sys; sys.path.append(sys.argv[1]); from driver.server import main; main(*sys.argv[2:])"
)
START_LIMIT_S = 60.0
STACK_KIB = 256 * 1024
BOX_BYTES, DRIVER_BYTES, DRIVER_TASKS = 256 << 20, 64 << 20, 16
"""What a control group holds besides the program: the box's files, and the driver."""
_CREDENTIALS = struct.Struct("3i")


class SandboxError(Exception):
    """The sandbox failed, not the program: it could not start, died, or no longer answers."""


class Started:
    """One driver that has said what is in force. `control` is the socket to it."""

    def __init__(self, isolation: Isolation) -> None:
        """Start it, and wait until it is ready.

        Raises:
            SandboxError: it could not be started, or gave up at the start.
        """
        self._undo = contextlib.ExitStack()
        try:
            self._start(isolation)
        except (OSError, LookupError) as error:
            fault = SandboxError(self.fault(str(error)))
            self._undo.close()
            raise fault from error

    def _start(self, isolation: Isolation) -> None:
        self._errors = self._undo.enter_context(tempfile.TemporaryFile())
        user = None
        if isolation.user != "same":
            user = UnusedUser()
            self._undo.callback(user.close)
        self.owner = -1 if user is None else user.uid
        """The user to own what the program is given, -1 for the one of this process."""
        self.folder = BOX if isolation.own_root else self._made_folder()
        self._cgroup, group = self._grouped()
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._undo.callback(self.control.close)
        self.control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        inside = self.owner if isolation.user == "inside" else -1
        outside = None if isolation.user != "outside" else self.owner
        command = [
            # The size of the main thread's stack is fixed by what holds when it is started. The
            # shell waits until it has been put where it belongs: what it starts is there too.
            *("/bin/sh", "-c"),
            f'ulimit -S -s {STACK_KIB} 2>/dev/null; read -r _; exec "$@" </dev/null',
            "sh",
            *isolation.command,
            *(os.path.realpath(sys.executable), "-s", "-S", "-P", "-X", "utf8", "-c", START),
            *(str(DRIVER.parent), str(theirs.fileno()), self.folder),
            *(os.readlink("/proc/self/ns/pid"), isolation.root, str(inside), *readable()),
        ]
        with theirs:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                pass_fds=[theirs.fileno()],
                # The order of a set is the same in every driver; no symbol is looked up in a fork.
                env={"PYTHONHASHSEED": "0", "LD_BIND_NOW": "1"},
                cwd="/",
                start_new_session=True,
                user=outside,
                group=outside,
                extra_groups=None if outside is None else [],
            )
        self._pid = -1
        self._undo.callback(self._end)
        assert self._process.stdin is not None
        with self._process.stdin:
            with contextlib.suppress(OSError), open(self._proc("oom_score_adj"), "w") as file:
                file.write("1000")
            if self._cgroup is not None:
                try:
                    self._cgroup.add(self._process.pid)
                except OSError as error:  # the folder is this user's, but not the way into it
                    self._cgroup, group = None, f"no cgroup ({error.strerror})"
        said, self._pid = self._ready()
        words = [isolation.name, *_apart(self._pid), *(["own root"] if isolation.own_root else [])]
        words += [*said.decode().split(", "), group]
        self.layers = " + ".join(words)
        """What is in force, in words."""
        self.counts_alone = "own process count" in words
        self._used_s = self._total_s()

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

    def _proc(self, name: str) -> str:
        return f"/proc/{self._process.pid}/{name}"

    def watch(self, memory_bytes: int, cpu_s: float) -> Watch:
        """A watch for one run, and the same bounds on the control group with room for the driver."""
        if self._cgroup is not None:
            self._cgroup.bound(memory_bytes + BOX_BYTES + DRIVER_BYTES, DRIVER_TASKS)
        return Watch(self._pid, memory_bytes, cpu_s)

    def used_s(self) -> float:
        """CPU time used since this was last asked, of all that ran and has ended."""
        total_s = self._total_s()
        used_s, self._used_s = total_s - self._used_s, total_s
        return used_s

    def _total_s(self) -> float:
        return used_s(self._pid) if self._cgroup is None else self._cgroup.cpu_s()

    def fault(self, what: str) -> str:
        """What happened, with what was written to stderr at the end."""
        size = os.fstat(self._errors.fileno()).st_size
        tail = os.pread(self._errors.fileno(), 1000, max(size - 1000, 0))
        return f"{what}: {tail.decode(errors='replace').strip() or 'no message'}"

    def _end(self) -> None:
        if self._cgroup is not None:
            self._cgroup.kill()
        if self._pid > 0:
            Watch(self._pid, 0, 0).kill_all()
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
    return [f"namespaces ({' '.join(kinds)})"] if kinds else []


def _remove(folder: str) -> None:
    # Not shutil.rmtree: a program may nest folders deeper than it can recurse.
    for command in (["/bin/chmod", "-R", "u+rwx"], ["/bin/rm", "-rf"]):
        subprocess.run([*command, "--", folder], stderr=subprocess.DEVNULL)
