"""A Hugging Face model's folder, known by its content.

The rejected extremes: its path, under which other weights may stand tomorrow, and a hash of every
byte, which takes a minute for fifteen gigabytes at every launch. Small files are hashed whole; of a
large one the size, the first and the last mebibyte count. A safetensors file begins with its header and
first tensors and ends with its last, and training changes all of them, so only an edit of some tensors
in the middle would go unseen.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from valley.errors import UserError

WHOLE_BYTES = 1 << 20
"""Files up to this size are hashed whole, and of larger ones this much at either end."""
WEIGHTS = (".safetensors", ".bin")
TEXTS = (".json", ".txt", ".jinja", ".model", ".tiktoken")
"""Configuration, tokenizer and chat template. A model card or a licence changes no student."""


def content(folder: str) -> dict[str, str]:
    """The size and SHA-256 of each file that decides a student, by name.

    Raises:
        UserError: there is no such folder, or no model in it.
    """
    where = f"path: no model at {folder!r}"
    try:
        names = sorted(os.listdir(folder))
        if "config.json" not in names:
            raise UserError(f"{where} (no config.json there); {_EXPECTED}")
        if not any(name.endswith(WEIGHTS) for name in names):
            raise UserError(f"{where} (no {' or '.join(WEIGHTS)} file there); {_EXPECTED}")
        return {
            name: _mark(Path(folder, name)) for name in names if name.endswith((*WEIGHTS, *TEXTS))
        }
    except OSError as error:
        raise UserError(f"{where} ({error.strerror}); {_EXPECTED}") from error


_EXPECTED = (
    "give a folder in Hugging Face format, or a hub id with its `revision`, the commit's 40 digits"
)


def _mark(path: Path) -> str:
    size_bytes = path.stat().st_size
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        if size_bytes <= WHOLE_BYTES:
            hasher.update(file.read())
        else:
            hasher.update(file.read(WHOLE_BYTES))
            file.seek(-WHOLE_BYTES, os.SEEK_END)
            hasher.update(file.read(WHOLE_BYTES))
    return f"{size_bytes}:{hasher.hexdigest()}"
