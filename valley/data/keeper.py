"""The keeper: which traces' texts a pool keeps, and their way into `traces.jsonl`.

Of each arm the `keep` traces of lowest rank are kept. Their lines stand in spill files, among others that
were of the lowest only until later ones displaced them: of N rows that one process reads about
`keep * ln(N / keep)` an arm. The kept ones are copied, in the order they came in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np

from valley.data.index import Index, Mask, Numbers
from valley.data.reading import Part
from valley.data.selection_config import CORRECTNESS_ARMS, DIFFICULTY_ARMS
from valley.data.sources.ahead import ahead

COPY_BYTES = 4 << 20
"""Copied while as much before it is hashed."""


class Keeper:
    """The kept rows of a pool that was read."""

    def __init__(self, keep: int | None, parts: Sequence[Part]) -> None:
        """Put the parts together, and decide.

        Args:
            keep: rows per arm; None keeps all.
        """
        self.index = Index()
        for part in parts:
            self.index.extend(part.index)
        ranks = _joined([np.frombuffer(part.ranks, np.uint64) for part in parts])
        self._offsets = _joined([np.frombuffer(part.offsets, np.int64) for part in parts])
        self._sizes = _joined([np.frombuffer(part.sizes, np.int64) for part in parts])
        self._spills = [part.spill for part in parts]
        self._ends = np.cumsum([len(part.index) for part in parts])
        """By part, the row behind its last."""
        self._rows = np.flatnonzero(_lowest(self.index, ranks, keep))

    def rows(self) -> list[int]:
        """The rows that are kept, in their order."""
        return self._rows.tolist()

    def lines(self, rows: list[int]) -> Iterator[bytes]:
        """The lines of kept rows."""
        spills = np.searchsorted(self._ends, rows, side="right").tolist()
        places = zip(self._offsets[rows].tolist(), self._sizes[rows].tolist(), strict=True)
        with ExitStack() as stack:
            files = {path: stack.enter_context(path.open("rb")) for path in set(self._spills)}
            for spill, (offset, size_bytes) in zip(spills, places, strict=True):
                file = files[self._spills[spill]]
                file.seek(offset)
                yield file.read(size_bytes)

    def finish(self, path: Path, change: Callable[[int, bytes], bytes]) -> str:
        """Write the kept lines to a file, whole or not at all, and their places to the index.

        Args:
            change: makes the final line of a row out of the spilt one.

        Returns:
            The file's SHA-256.
        """
        temporary = path.with_suffix(".tmp")
        hasher = hashlib.sha256()
        with temporary.open("wb") as file:
            for written in ahead(self._written(file, change), 2):
                hasher.update(written)
        temporary.replace(path)
        return hasher.hexdigest()

    def _written(self, file: BinaryIO, change: Callable[[int, bytes], bytes]) -> Iterator[bytes]:
        """Write the lines, about `COPY_BYTES` at a time; yields what was written."""
        offset, waiting, size = 0, [], 0
        rows = self.rows()
        for row, line in zip(rows, self.lines(rows), strict=True):
            line = change(row, line)
            self.index.place(row, offset + size, len(line))
            waiting.append(line)
            size += len(line)
            if size >= COPY_BYTES or row == rows[-1]:
                data = b"".join(waiting)
                file.write(data)
                yield data
                offset, waiting, size = offset + size, [], 0


def _joined(columns: list[Numbers]) -> Numbers:
    return np.concatenate(columns)


def _lowest(index: Index, ranks: Numbers, keep: int | None) -> Mask:
    """By row, whether it is among the lowest of one of its arms; of equal ranks the first are lower."""
    found = np.zeros(len(index), dtype=np.bool_)
    for difficulty in DIFFICULTY_ARMS:
        for correctness in CORRECTNESS_ARMS:
            rows = np.flatnonzero(index.arm(difficulty, correctness))
            if keep is not None and len(rows) > keep:
                rows = rows[np.argsort(ranks[rows], kind="stable")[:keep]]
            found[rows] = True
    return found
