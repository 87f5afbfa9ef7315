"""Isolations: the ways to keep a program from the rest of the machine, strongest first.

| isolation | namespaces                      | what a program can still do                            |
|-----------|---------------------------------|--------------------------------------------------------|
| bwrap     | all, with a root of its own     | use its limits; signal its own driver                  |
| unshare   | network (pid, ipc, /proc too    | read and write what the user may                       |
|           | where they can be had)          |                                                        |
| rlimits   | none                            | also reach the network and signal the user's processes |

Which of them works is found by trying: `sandbox.find_isolation`.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DRIVER = Path(__file__).resolve().with_name("driver")
"""The package that runs inside: all of this repository that a root of its own holds."""
BOX = "/box"
"""The writable folder of a sandbox with a root of its own. Not /tmp: Python may be installed there."""
BOX_BYTES = 256 << 20


@functools.cache
def numpy_folders() -> tuple[Path, ...]:
    """NumPy's own folders, the package first, for programs in mode lcb; none where it is not."""
    found = importlib.util.find_spec("numpy")
    if found is None or not found.origin:
        return ()
    package = Path(found.origin).resolve().parent
    libraries = package.with_name("numpy.libs")
    return (package, *([libraries] if libraries.is_dir() else []))


@dataclass(frozen=True)
class Isolation:
    """A way to start the driver: its name for the provenance, and the command it stands behind.

    With `own_root` the driver sees a file system of its own, which holds the folder to work in.
    """

    name: str
    command: tuple[str, ...]
    own_root: bool


def isolations() -> Iterator[Isolation]:
    """Those whose program is installed here, strongest first; they may still not be permitted."""
    if bwrap := shutil.which("bwrap"):
        yield Isolation("bwrap", tuple(_bwrap(bwrap)), own_root=True)
    if unshare := shutil.which("unshare"):
        root = () if os.getuid() == 0 else ("--user", "--map-root-user")
        pids = ("--ipc", "--pid", "--fork", "--kill-child")
        for more in ((*pids, "--mount-proc"), pids, ()):
            yield Isolation("unshare", (unshare, *root, "--net", *more), own_root=False)
    yield Isolation("rlimits", (), own_root=False)


def _bwrap(program: str) -> list[str]:
    command = [program, "--unshare-all", "--cap-drop", "ALL", "--die-with-parent", "--new-session"]
    prefix = os.path.realpath(sys.base_prefix)
    for folder in ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache"):
        command += ["--ro-bind-try", folder, folder]
    for path in (prefix, str(DRIVER), *map(str, numpy_folders())):
        command += ["--ro-bind", path, path]
    command += ["--proc", "/proc", "--dev", "/dev"]
    options = subprocess.run([program, "--help"], capture_output=True, text=True).stdout
    if "--size" in options:  # since 0.6
        command += ["--size", str(BOX_BYTES)]
    command += ["--tmpfs", BOX, "--chdir", BOX]
    for folder in ("/proc", "/dev", "/"):  # root may write in /proc/sys, even without capabilities
        command += ["--remount-ro", folder]
    return command
