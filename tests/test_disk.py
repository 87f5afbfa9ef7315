from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sweeping import MINI, command

from valley.disk import cannot_write

# Here nobody can make a folder, root neither.
UNUSABLE = Path("/proc/foo")


def test_a_folder_is_tried_and_left_as_it_was(spaced):
    assert cannot_write(spaced) == "" == cannot_write(spaced / "new" / "newer")
    assert list(spaced.iterdir()) == []
    assert cannot_write(UNUSABLE / "bar").startswith(
        "/proc/foo/bar: nothing can be written there ("
    )


def test_a_folder_of_somebody_else_is_named(spaced):
    (spaced / "theirs").mkdir(mode=0)
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom valley.disk import cannot_write\n"
        "if os.geteuid() == 0:\n    os.seteuid(65534)\n"
        "print(cannot_write(Path(sys.argv[1])))"
    )
    folder = spaced / "theirs" / "new" / "newer"
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True)
    assert done.stdout == f"{folder}: nothing can be written there (Permission denied)\n"


@pytest.mark.parametrize("more", [[], ["--print-scripts", "scripts"], ["--wait", "--canary"]])
def test_an_unusable_root_is_one_message(spaced, more):
    (spaced / "grid.yaml").write_text(MINI)
    done = command("sweeps/launch.py", str(spaced / "grid.yaml"), *more, root=UNUSABLE)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "/proc/foo: nothing can be written there" in done.stderr and "--root" in done.stderr


def test_a_dry_run_names_an_unusable_root(spaced):
    (spaced / "grid.yaml").write_text(MINI)
    done = command("sweeps/launch.py", str(spaced / "grid.yaml"), "--dry-run", root=UNUSABLE)
    assert done.returncode == 0
    assert "before launching: /proc/foo: nothing can be written there" in done.stdout


def test_scripts_cannot_be_printed_to_an_unusable_folder(spaced):
    (spaced / "grid.yaml").write_text(MINI)
    arguments = [str(spaced / "grid.yaml"), "--print-scripts", str(UNUSABLE)]
    done = command("sweeps/launch.py", *arguments, root=spaced / "runs")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "--print-scripts /proc/foo: nothing can be written there" in done.stderr


def test_weights_cannot_be_pruned_where_nothing_can_be_written():
    done = command("sweeps/prune.py", "--apply", root=Path("/proc"))
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1
    assert "/proc: nothing can be written there" in done.stderr
