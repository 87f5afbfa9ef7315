"""The circumstances of a launch that no job could tell of itself: where it was made, and of what code."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import valley

GIT_TIMEOUT_S = 5


def circumstances() -> dict[str, Any]:
    """Host, time and Python of this launch, and the commit of the checkout, if it is one of git."""
    return {
        "host": socket.gethostname(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "python": sys.version.split()[0],
        "git": commit_of(Path(valley.__file__).resolve().parent.parent),
    }


def commit_of(folder: Path) -> dict[str, Any] | None:
    """The commit of a git checkout, and whether tracked files differ from it (`dirty`).

    None for a folder that is no checkout's top, or where git is not installed or does not answer.
    """
    if not (folder / ".git").exists() or shutil.which("git") is None:
        return None
    command = ["git", "-C", str(folder), "status", "--porcelain=v2", "--branch"]
    try:
        done = subprocess.run(
            [*command, "--untracked-files=no"],
            capture_output=True,
            text=True,
            timeout=GIT_TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = done.stdout.splitlines()
    commit = next((x.split()[2] for x in lines if x.startswith("# branch.oid ")), None)
    if done.returncode or commit is None:
        return None
    return {"commit": commit, "dirty": any(not line.startswith("#") for line in lines)}
