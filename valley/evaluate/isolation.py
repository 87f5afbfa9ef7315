"""Isolations: the ways to keep a program from the rest of the machine, strongest first.

| isolation | namespaces                      | files                                            |
|-----------|---------------------------------|--------------------------------------------------|
| bwrap     | all                             | a root of its own: Python, and a folder in memory |
| unshare   | all; where mounts are refused,  | the same; without mounts as for rlimits          |
|           | those that can be had           |                                                  |
| rlimits   | none                            | the machine's, as far as Landlock lets it        |

In each, the driver gives up what it can before it runs a program (`driver/confine.py`): the user
root, capabilities, files by Landlock, system calls by seccomp. Which of them works is found by
trying: `probe.find_isolation`. What is in force here is printed by

    python -m valley.evaluate.isolation
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import site
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from valley.evaluate.unused_user import others_exist

DRIVER = Path(__file__).resolve().with_name("driver")
"""The package that runs inside: all of this repository that a root of its own holds."""
BOX = "/box"
"""The writable folder of a sandbox with a root of its own. Not /tmp: Python may be installed there."""
BOX_BYTES = 256 << 20
SYSTEM = ("/usr", "/bin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache")

Root = Literal["given", "built", "host"]
User = Literal["same", "inside", "outside"]


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
    """A way to start the driver: its name for the provenance, and the command it stands behind."""

    name: str
    command: tuple[str, ...]
    root: Root
    """Who makes a root of its own: `given` by the command, `built` by the driver, or none."""
    user: User
    """Where root becomes an unused user: `inside` needs the rights to make namespaces without a
    user namespace. `same` is an ordinary user, who stays what they are."""
    layers: str = ""
    """What was found in force when it was tried, in words for the log and the provenance."""

    @property
    def own_root(self) -> bool:
        """Whether programs see a file system of their own, which holds the folder to work in."""
        return self.root != "host"


def isolations() -> Iterator[Isolation]:
    """Those whose program is installed here, strongest first; they may still not be permitted."""
    users: tuple[User, ...] = ("same",)
    # Where the kernel knows root as someone else, they are an ordinary user with another name.
    if os.getuid() == 0 and others_exist():
        users = ("inside", "outside")
    if bwrap := shutil.which("bwrap"):
        for user in users:
            for bounded in (True, False):
                yield Isolation("bwrap", tuple(_bwrap(bwrap, user, bounded)), "given", user)
    if unshare := shutil.which("unshare"):
        pids = ("--ipc", "--pid", "--fork", "--kill-child")
        shapes: tuple[tuple[Root, tuple[str, ...]], ...] = (
            ("built", ("--mount", *pids)),
            ("host", ("--mount", *pids, "--mount-proc")),
            ("host", pids),
            ("host", ()),
        )
        for root, more in shapes:
            for user in users:
                own = () if user == "inside" else ("--user", "--map-root-user")
                yield Isolation("unshare", (unshare, *own, "--net", *more), root, user)
    yield Isolation("rlimits", (), "host", users[0])


def readable() -> list[str]:
    """What a program may read and execute: Python, NumPy, the system's libraries, and the driver."""
    own = (os.path.realpath(sys.base_prefix), DRIVER, *numpy_folders())
    return [*SYSTEM, *map(str, own)]


def hidden() -> list[str]:
    """Folders of installed packages, which a root of its own shows empty.

    Programs run without them, and among them may be packages with problems and their answers.
    """
    folders = site.getsitepackages([os.path.realpath(sys.base_prefix)])
    return [folder for folder in map(os.path.realpath, folders) if os.path.isdir(folder)]


def _bwrap(program: str, user: User, bounded: bool) -> list[str]:
    """The command; `bounded` leaves the right to mount a bounded box, which the driver gives up."""
    command = [program, "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    command += ["--unshare-cgroup-try", "--die-with-parent", "--new-session", "--as-pid-1"]
    rights = ["CAP_SYS_ADMIN"] if bounded else []
    if user == "inside":
        rights += ["CAP_SETUID", "CAP_SETGID"]
    else:
        command.append("--unshare-user")
    command += ["--cap-drop", "ALL"]
    for right in rights:
        command += ["--cap-add", right]
    for system in SYSTEM:
        command += ["--ro-bind-try", system, system]
    *first, driver = readable()[len(SYSTEM) :]
    for path in (*first, *hidden(), driver):
        if path in hidden():
            command += ["--tmpfs", path]
            continue
        for parent in reversed(Path(path).parents):  # else as closed to others as they are outside
            command += ["--dir", str(parent)]
        command += ["--ro-bind", path, path]
    command += ["--proc", "/proc", "--dev", "/dev"]
    options = subprocess.run([program, "--help"], capture_output=True, text=True).stdout
    if "--size" in options:  # since 0.6
        command += ["--size", str(BOX_BYTES)]
    command += ["--tmpfs", BOX, "--chdir", BOX]
    for folder in (
        *hidden(),
        "/proc",
        "/dev",
        "/",
    ):  # root may write in /proc/sys, even without capabilities
        command += ["--remount-ro", folder]
    return command


def main() -> None:
    """Print what is in force on this machine, for each isolation."""
    from valley.errors import UserError
    from valley.evaluate.probe import find_isolation

    for setting in ("auto", "bwrap", "unshare", "rlimits"):
        try:
            print(f"{setting + ':':<9}{find_isolation(setting).layers}")
        except UserError as error:
            print(f"{setting + ':':<9}not here: {error}")


if __name__ == "__main__":
    main()
