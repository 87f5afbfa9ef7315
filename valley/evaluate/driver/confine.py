"""What a driver gives up for good before it runs the first program, and what came of it.

In this order, since each step needs what the next ones take away: a root of its own, the user, all
capabilities, new privileges, files (Landlock), system calls (seccomp). The driver does not trust a
program, which is a fork of it: it is closed to tracing and its memory to writing. No signal from
inside ends or stops the first process of a pid namespace; where the driver is not that, each
program enters a Landlock domain of its own, from which none reaches it (for a tenth of the speed).
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from collections.abc import Callable, Sequence

from . import kernel, landlock, root, seccomp

FEW_PROCESSES = 8
MINE = "/proc/thread-self/children"


class Confinement:
    """What is in force, as `words` say; `enter` is what a program calls first."""

    def __init__(self, words: Sequence[str], enter: Callable[[], None], children: int) -> None:
        self.words = tuple(words)
        self.enter = enter
        self.children = children
        """The open list of the driver's children, -1 where kill(-1) reaches them all and no more."""


def confine(
    kind: str, box: str, uid: int, paths: Sequence[str], hidden: Sequence[str], alone: bool
) -> Confinement:
    """Give up all that can be.

    Args:
        kind: `built` to build a root from `paths`, `given` where there is one, `mounted` where it
            has its box too, `host` without.
        box: the folder to write in, which becomes the working folder.
        uid: the user to become, -1 to stay.
        paths: what may be read and executed, the driver last.
        hidden: folders among them to show empty, where the root is built.
        alone: whether this process has a pid namespace of its own.

    Raises:
        OSError: one that must succeed did not: the root, the user, or no new privileges.
    """
    machine = os.uname().machine
    words = []
    if kind == "built":
        root.build(paths, hidden, box, machine)
    elif kind == "given":
        words += _box_of_its_own(box)
    os.chdir(box)  # by name it may be out of reach for the user to become
    if uid >= 0:
        _become(uid)
        words.append("unused uid")
    kernel.drop_capabilities()
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    words.append("no_new_privs")
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    children = -1
    if not alone:
        children = os.open(MINE, os.O_RDONLY)  # no file of /proc can be opened from here on
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
    abi = landlock.version()
    shield = -1
    if abi:
        readable = ("/",) if kind != "host" else (*paths, "/dev/null", "/dev/zero", "/dev/urandom")
        landlock.restrict(abi, readable, (".", "/dev/null"))
        if not alone:
            shield = landlock.shield(abi)
    words.append(f"landlock (ABI {abi})" if abi else "no landlock")
    words.append("seccomp" if seccomp.install(machine, alone) else "no seccomp")
    words.append("own process count" if _counts_alone() else "shared process count")

    def enter() -> None:
        if shield >= 0:
            landlock.enter(shield)
        if not alone:
            kernel.prctl(kernel.PR_SET_PDEATHSIG, 9)

    return Confinement(words, enter, children)


def _become(uid: int) -> None:
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    if not os.access(os.__file__, os.R_OK):
        raise PermissionError(
            f"user {uid}, which root becomes, may not read {sys.prefix}: let others enter the "
            "folders above it, use another Python, or grade as an ordinary user"
        )


def _box_of_its_own(box: str) -> list[str]:
    """Bound the box's files, which bubblewrap cannot; its own tmpfs stays where that is refused."""
    os.chmod(box, 0o777)  # it may be root's, who is about to leave
    try:
        kernel.unshare(kernel.CLONE_NEWNS)
        root.mount_box(box)
    except OSError:
        return ["no bound on the number of files"]
    return []


def _counts_alone() -> bool:
    """Whether RLIMIT_NPROC counts this sandbox's processes and not all those of its user."""
    held = resource.getrlimit(resource.RLIMIT_NPROC)
    few = min(FEW_PROCESSES, held[1]) if held[1] != resource.RLIM_INFINITY else FEW_PROCESSES
    resource.setrlimit(resource.RLIMIT_NPROC, (few, held[1]))
    try:
        pid = os.fork()
    except BlockingIOError:
        return False
    finally:
        with contextlib.suppress(ValueError):
            resource.setrlimit(resource.RLIMIT_NPROC, held)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return True
