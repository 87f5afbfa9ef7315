"""The snapshot: a frozen copy of the code, taken at launch, that queued jobs run.

What is edited afterwards changes nothing that waits in a queue. A copy is named by the hash of its
files, so that launches of the same code share one.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import valley
from valley.disk import set_aside, sync_folder
from valley.errors import UserError

PARTS = ("valley", "jobs")


def take_snapshot(folder: Path) -> Path:
    """Copy the code below `folder` and return the copy, `folder/<hash12>`.

    Raises:
        UserError: the job scripts are not beside the package, as they are in a checkout.
    """
    source = _checkout()
    target = folder / _hash(source)
    if target.is_dir() and _hash(target) != target.name:  # cut by a power cut, or edited
        set_aside(target)
    if not target.is_dir():
        partial = folder / f".{target.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        for path in _files(source):
            copy = partial / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        sync_folder(partial)
        # What was edited meanwhile is in the copy or is not: it is named by what it holds.
        target = folder / _hash(partial)
        if not target.is_dir():
            partial.rename(target)
    return target.resolve()


def code_hash() -> str:
    """The name that a snapshot of today's code has.

    Raises:
        UserError: the job scripts are not beside the package, as they are in a checkout.
    """
    return _hash(_checkout())


def _checkout() -> Path:
    source = Path(valley.__file__).resolve().parent.parent
    if not (source / "jobs").is_dir():
        raise UserError(
            f"{source}: no jobs/ beside valley/; install with `pip install -e .` from a checkout"
        )
    return source


def _files(source: Path) -> list[Path]:
    return sorted(
        path for part in PARTS for path in (source / part).rglob("*.py") if path.is_file()
    )


def _hash(source: Path) -> str:
    hasher = hashlib.sha256()
    for path in _files(source):
        hasher.update(str(path.relative_to(source)).encode() + b"\0" + path.read_bytes() + b"\0")
    return hasher.hexdigest()[:12]
