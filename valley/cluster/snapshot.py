"""The snapshot: a frozen copy of the code, taken at launch, that queued jobs run.

What is edited afterwards changes nothing that waits in a queue. A copy is named by the hash of its
files, so that launches of the same code share one.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import valley
from valley.errors import UserError

PARTS = ("valley", "jobs")


def take_snapshot(folder: Path) -> Path:
    """Copy the code below `folder` and return the copy, `folder/<hash12>`.

    Raises:
        UserError: the job scripts are not beside the package, as they are in a checkout.
    """
    source, files = _code()
    target = folder / _hash(source, files)
    if not target.is_dir():
        partial = folder / f".{target.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        for path in files:
            copy = partial / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        partial.rename(target)
    return target.resolve()


def code_hash() -> str:
    """The name that a snapshot of today's code has.

    Raises:
        UserError: the job scripts are not beside the package, as they are in a checkout.
    """
    return _hash(*_code())


def _code() -> tuple[Path, list[Path]]:
    source = Path(valley.__file__).resolve().parent.parent
    if not (source / "jobs").is_dir():
        raise UserError(
            f"{source}: no jobs/ beside valley/; install with `pip install -e .` from a checkout"
        )
    return source, sorted(
        path for part in PARTS for path in (source / part).rglob("*.py") if path.is_file()
    )


def _hash(source: Path, files: list[Path]) -> str:
    hasher = hashlib.sha256()
    for path in files:
        hasher.update(str(path.relative_to(source)).encode() + b"\0" + path.read_bytes() + b"\0")
    return hasher.hexdigest()[:12]
