"""Pickles of plain data alone: text, numbers, lists, mappings.

A pickle may name any importable function and have it called, so reading one from elsewhere is running
its author's program. LiveCodeBench packs its private tests as pickles. Here a pickle that names anything
at all is refused, before anything is imported.
"""

from __future__ import annotations

import io
import pickle
import zlib
from typing import Any, NoReturn

MAX_BYTES = 1 << 30


class NotPlainError(ValueError):
    """The pickle holds more than plain data, or is none."""


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> NoReturn:
        raise NotPlainError(f"it names {module}.{name}, and only plain data is read")

    def persistent_load(self, pid: Any) -> NoReturn:
        raise NotPlainError("it refers to data outside itself, and only plain data is read")


def loads(data: bytes) -> Any:
    """The value of a pickle of plain data.

    Raises:
        NotPlainError: it names a class or function, or is damaged.
    """
    try:
        return _PlainUnpickler(io.BytesIO(data)).load()
    except NotPlainError:
        raise
    except Exception as error:  # a damaged pickle may raise nearly any, MemoryError included
        raise NotPlainError(f"it is no pickle, or a damaged one ({error!r})") from error


def decompress(data: bytes) -> bytes:
    """The bytes that `zlib` packed.

    Raises:
        NotPlainError: they are damaged, cut, or more than MAX_BYTES.
    """
    unpacker = zlib.decompressobj()
    try:
        unpacked = unpacker.decompress(data, MAX_BYTES)
    except zlib.error as error:
        raise NotPlainError(f"it cannot be unpacked ({error})") from error
    if not unpacker.eof:
        what = "is larger than a gibibyte" if unpacker.unconsumed_tail else "is cut"
        raise NotPlainError(f"what is packed {what}")
    return unpacked
