"""Run a script and kill it, without warning, just before its n-th step.

    python killed_at_a_step.py N AFTER_S ROOT SCRIPT ARGUMENT…

A step is whatever changes something outside the process: a file below ROOT that is opened for writing,
renamed, linked or removed, a folder that is made, a program that is started. With AFTER_S the step is
begun, and the kill comes so much later. N of 0 kills nothing, and writes the steps to $STEPS.
"""

from __future__ import annotations

import atexit
import os
import runpy
import signal
import sys
import threading
from pathlib import Path

CHANGES = {"os.mkdir", "os.rename", "os.link", "os.remove", "os.rmdir", "shutil.copyfile"}

number, after_s, root = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
steps: list[str] = []


def watch(event: str, arguments: tuple) -> None:
    """Count the steps, and end with the one that was asked for."""
    if event == "subprocess.Popen":
        steps.append(f"{event} {arguments[1]}")
    elif event == "open":
        path, _, flags = arguments
        if not str(path).startswith(root) or not flags & (os.O_WRONLY | os.O_RDWR):
            return
        steps.append(f"{event} {path}")
    elif event in CHANGES and str(arguments[0]).startswith(root):
        steps.append(f"{event} {arguments[0]}")
    else:
        return
    if len(steps) == number:
        if after_s:
            threading.Timer(after_s, os.kill, (os.getpid(), signal.SIGKILL)).start()
        else:
            os.kill(os.getpid(), signal.SIGKILL)


def tell() -> None:
    """Write down the steps, for who chooses among them."""
    if log := os.environ.get("STEPS"):
        Path(log).write_text("".join(f"{step}\n" for step in list(steps)))


atexit.register(tell)
sys.argv = sys.argv[4:]
sys.path[0] = str(Path(sys.argv[0]).parent)
sys.addaudithook(watch)
runpy.run_path(sys.argv[0], run_name="__main__")
