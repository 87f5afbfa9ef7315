"""Programs that attack: each comes to a verdict, the machine is unharmed, the next one is graded."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import attacks
import pytest

from valley.errors import UserError
from valley.evaluate.probe import find_isolation
from valley.evaluate.sandbox import Run, Sandbox

REPOSITORY = Path(__file__).parents[2]
ISOLATIONS = ["bwrap", "unshare", "rlimits"]
USER = 64321
# One after another: each may take whatever the machine gives, and some are of one user.
pytestmark = pytest.mark.xdist_group("attacks")


def isolation(name):
    try:
        return find_isolation(name)
    except UserError as error:
        # Where nothing may be left out, bubblewrap has been installed.
        if name == "bwrap" and os.environ.get("VALLEY_REQUIRE_SLURM"):
            raise
        pytest.skip(str(error))


@pytest.mark.parametrize("name", ISOLATIONS)
def test_attacks(name, spaced):
    isolation(name)
    assert attacks.attacked(spaced, name) == []


def test_attacks_in_a_sandbox_each(spaced):
    isolation("bwrap")
    assert attacks.attacked(spaced, "bwrap", reuse=False) == []


@pytest.mark.parametrize("name", ISOLATIONS)
def test_attacks_on_an_ordinary_user(name, open_to_all):
    program = REPOSITORY / "tests" / "attacks.py"
    done = as_ordinary_user([program, open_to_all, name], open_to_all)
    if "does not work on this machine" in done.stderr:
        pytest.skip(done.stderr[-300:])
    assert done.stdout, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_limits_alone_as_an_ordinary_user(open_to_all):
    """What test_sandbox says of `rlimits`, which root may be unable to use."""
    module = REPOSITORY / "tests" / "evaluate" / "test_sandbox.py"
    options = ["-rs", "-p", "no:cacheprovider", "-k", "rlimits", f"--basetemp={open_to_all}/tmp"]
    done = as_ordinary_user(["-m", "pytest", module, *options], open_to_all)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SKIPPED" not in done.stdout


def test_there_are_many(spaced):
    with attacks.placed(spaced) as place:
        assert len(attacks.attacks(place)) + len(attacks.CROSS) >= 60
    assert place.faults == []


@pytest.mark.parametrize("name", ISOLATIONS)
def test_memory_is_flat(name):
    """Neither the driver nor this side grows with the programs that were run."""
    with Sandbox(isolation(name)) as sandbox:
        held = []
        for _ in range(3):
            for _ in range(150):
                sandbox.run(Run("x = [0] * 1000\nprint(x[0])", "", None, 5.0, 20.0, 512, 1 << 20))
            held.append((resident_kib(sandbox._driver.pid), len(os.listdir("/proc/self/fd"))))
    assert held[2][0] - held[0][0] < 512
    assert held[0][1] == held[2][1]


def resident_kib(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 10


@pytest.fixture
def open_to_all():
    """A folder that an ordinary user can be given: not below those that pytest closes to others."""
    with tempfile.TemporaryDirectory(prefix="a folder ") as folder:
        yield Path(folder)


def as_ordinary_user(arguments, folder):
    """Run this Python as a user who owns nothing but the folder.

    Where root's Python or this repository stands in a folder that is closed to others, such as
    /root, both are shown in an empty one in its place, in a mount namespace of its own.
    """
    if os.getuid() != 0:
        pytest.skip("this is an ordinary user: the other tests are the same")
    if not (shutil.which("unshare") and shutil.which("setpriv")):
        pytest.skip("needs unshare and setpriv")
    shutil.chown(folder, USER, USER)
    steps, moves = ["set -e"], []
    for path in {os.path.realpath(p) for p in (sys.base_prefix, sys.prefix, REPOSITORY)}:
        if (closed := closed_above(path)) is not None:
            moves.append((path, closed, f"{folder}/mount {len(moves)}"))
    for path, _, aside in moves:
        steps += [f"mkdir '{aside}'", f"mount --rbind '{path}' '{aside}'"]
    for closed in {closed for _, closed, _ in moves}:
        steps.append(f"mount -t tmpfs -o mode=755 tmpfs '{closed}'")
    for path, _, aside in moves:
        steps += [f"mkdir -p '{path}'", f"mount --rbind '{aside}' '{path}'", f"umount -l '{aside}'"]
        steps.append(f"rmdir '{aside}'")
    steps.append(f'exec setpriv --reuid {USER} --regid {USER} --clear-groups "$@"')
    known = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")])
    return subprocess.run(
        ["unshare", "--mount", "/bin/sh", "-c", "\n".join(steps), "sh", sys.executable, *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": known, "TMPDIR": str(folder)}
        | {"PYTHONDONTWRITEBYTECODE": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )


def closed_above(path):
    """The topmost folder above a path that others may not enter."""
    for folder in reversed(Path(path).parents):
        if not folder.stat().st_mode & 0o001:
            return folder
    return None
