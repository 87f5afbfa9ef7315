"""The disk: what is said to be written is there, also after a power cut, and what has no room is not begun."""

from __future__ import annotations

import os
import shutil
import tempfile
import zlib
from contextlib import suppress
from pathlib import Path

CHUNK_BYTES = 1 << 24


def sync(path: Path) -> None:
    """Return only when a file's or folder's content is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Return only when a folder, and all that is below it, is on the disk."""
    for path in folder.rglob("*"):
        if path.is_file() or path.is_dir():
            with suppress(FileNotFoundError):  # a temporary one that has gone since
                sync(path)
    sync(folder)


def checksum(path: Path) -> int:
    """The CRC-32 of a file's content.

    Raises:
        OSError: it cannot be read.
    """
    found = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            found = zlib.crc32(chunk, found)
    return found


def size_and_sum(path: Path) -> list[int]:
    """A file's bytes and their checksum; empty where it cannot be read."""
    try:
        return [path.stat().st_size, checksum(path)]
    except OSError:
        return []


def cannot_write(folder: Path) -> str:
    """What is to be said where nothing can be written to a folder, which need not exist yet; else empty."""
    # Not `Path.is_dir`, which raises where a folder above may not be looked into.
    there = next(one for one in (folder, *folder.parents) if os.path.isdir(one))
    try:
        # Tried: the bits of its mode do not tell of network file systems, nor of quotas.
        os.rmdir(tempfile.mkdtemp(prefix=".valley-", dir=there))
    except OSError as error:
        return f"{folder}: nothing can be written there ({error.strerror})"
    return ""


def lacks_room(folder: Path, needed: float) -> str:
    """What is to be said where the disk of a folder has less than `needed` bytes; else empty."""
    free = shutil.disk_usage(folder).free
    if free >= needed:
        return ""
    return (
        f"No space left on device: {needed / 1e9:.2f} GB are needed and {free / 1e9:.2f} GB are free "
        f"at {folder}; make room"
    )


def set_aside(path: Path) -> Path:
    """Rename what is damaged, a file or a folder, so that nothing of it is lost; its new path."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    path.replace(aside)
    return aside
