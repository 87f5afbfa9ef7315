"""The outputs of a grading: held against what it reads, and against each other, before anything is done.

A samples file that is also named as the output would be gone after a grading, and a folder that is not
there would be noticed after hours.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from valley.errors import UserError


def check_outputs(read: Mapping[str, Path], written: Mapping[str, Path]) -> None:
    """See that each output can be written, and is none of the inputs and no other output.

    Args:
        read: the inputs, by what they are called.
        written: the outputs, likewise.

    Raises:
        UserError: names the two that are one file, or the output that cannot be written.
    """
    taken = dict(read)
    for name, path in written.items():
        for other, there in taken.items():
            if _same(path, there):
                raise UserError(
                    f"{name} {path}: this is the file of {other}, which it would overwrite; "
                    "name another file"
                )
        taken[name] = path
        if path.is_dir():
            raise UserError(f"{name} {path}: cannot be written (is a folder); name a file")
        if not path.parent.is_dir():
            raise UserError(
                f"{name} {path}: cannot be written (no folder {path.parent}); make the folder first"
            )
        if not os.access(path.parent, os.W_OK):
            raise UserError(
                f"{name} {path}: cannot be written (no permission in {path.parent}); "
                "name a file elsewhere"
            )


def _same(one: Path, other: Path) -> bool:
    """Whether two names are of one file, by links of either kind too, or would be."""
    if one.exists() and other.exists():
        return one.samefile(other)
    return one.resolve() == other.resolve()
