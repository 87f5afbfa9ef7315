"""An interpreter behind an isolation, with the package `driver` and nothing else of this repository."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import IO, Literal

from valley.evaluate.isolation import DRIVER, Isolation, hidden, readable

START = (
    "import sys, importlib; sys.path.append(sys.argv[1]); "
    "importlib.import_module(f'driver.{sys.argv[2]}').main(*sys.argv[3:])"
)
START_LIMIT_S = 60.0
STACK_KIB = 256 * 1024


def start(
    role: Literal["server", "nursery"],
    isolation: Isolation,
    control: socket.socket,
    folder: str,
    errors: IO[bytes],
    *,
    inside: int = -1,
    outside: int = -1,
) -> subprocess.Popen[bytes]:
    """Start one, which waits for the end of its stdin before it leaves the shell.

    Args:
        role: the module of `driver` that it runs.
        control: its end of the control socket.
        folder: where programs run.
        errors: takes what it writes to stderr.
        inside: the user that it becomes itself, -1 to stay.
        outside: the user that it is from the start, -1 for the one of this process.

    Raises:
        OSError: it could not be started.
    """
    user = outside if outside >= 0 else None
    command = [
        # The size of the main thread's stack is fixed by what holds when it is started. The shell
        # waits until it has been put where it belongs: what it starts is there too.
        *("/bin/sh", "-c"),
        f'ulimit -S -s {STACK_KIB} 2>/dev/null; read -r _; exec "$@" </dev/null',
        "sh",
        *isolation.command,
        *(os.path.realpath(sys.executable), "-s", "-S", "-P", "-X", "utf8", "-c", START),
        *(str(DRIVER.parent), role, str(control.fileno()), folder),
        *(os.readlink("/proc/self/ns/pid"), isolation.root, str(inside)),
        *(os.pathsep.join(hidden()), *readable()),
    ]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=errors,
        pass_fds=[control.fileno()],
        # The order of a set is the same in every driver; no symbol is looked up in a fork.
        env={"PYTHONHASHSEED": "0", "LD_BIND_NOW": "1"},
        cwd="/",
        start_new_session=True,
        user=user,
        group=user,
        extra_groups=None if user is None else [],
    )
