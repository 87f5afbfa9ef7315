"""A warm interpreter that bears drivers and runs no program itself.

It stands in a sandbox's namespaces, with its root, and keeps the rights that a driver gives up. Each
driver that it forks gets namespaces of its own inside of those, for processes, mounts and IPC, and a
folder of its own to write in; the network they share is one in which nothing else ever ran. That is
a new sandbox for a tenth of what it costs to start Python in one.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import NoReturn

from . import confine, kernel, root, seccomp, server

_PROC_FLAGS = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC | kernel.MS_RDONLY


def main(
    control_fd: str,
    work_folder: str,
    _outer_namespace: str,
    kind: str,
    _uid: str,
    hidden: str,
    *paths: str,
) -> None:
    """Bear a driver for each control socket that is received, until the grader closes its own.

    The arguments are those of `server.main`. A message is the user id that the driver becomes, -1 to
    stay, with the driver's control socket.
    """
    control = server.take(control_fd)
    if kind == "built":
        root.build(paths, hidden.split(os.pathsep), work_folder, os.uname().machine)
    mine = os.open("/proc/self/ns/pid", os.O_RDONLY)
    seccomp.prepare(os.uname().machine, alone=True)
    server.prepare()
    control.send(b"ready")
    while True:
        message, fds = server.received(control, 1)
        _reap()
        if not message:
            return
        # What is forked now is the first process of a new namespace; this one stays where it is.
        kernel.unshare(kernel.CLONE_NEWPID)
        if os.fork() == 0:
            control.close()
            os.close(mine)
            _be_driver(fds[0], int(message), work_folder)
        kernel.setns(mine, kernel.CLONE_NEWPID)
        os.close(fds[0])


def _be_driver(control_fd: int, uid: int, work_folder: str) -> NoReturn:
    code = 1
    try:
        kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC)
        kernel.mount("proc", "/proc", "proc", _PROC_FLAGS)
        root.mount_box(work_folder)
        confinement = confine.confine("mounted", work_folder, uid, (), (), alone=True)
        server.serve(server.take(control_fd), confinement)
        code = 0
    except OSError as error:
        print(error, file=sys.__stderr__, flush=True)
    finally:
        os._exit(code)


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
