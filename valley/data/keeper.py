"""The keeper: which traces' texts a pool keeps, decided in one pass in bounded memory.

Of each arm the `keep` traces of lowest rank are kept. A text goes to a spill file as soon as it is among
the lowest so far, and is left behind there when others displace it; of N rows about `keep * ln(N / keep)`
go there in vain. At the end the kept ones are copied to `traces.jsonl`, in the order they came in; where
none is to be left behind or changed, the spill file is `traces.jsonl`.
"""

from __future__ import annotations

import hashlib
import heapq
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from valley.data.index import Index

COPY_BYTES = 1 << 20


class Keeper:
    """Keeps the rows of lowest rank of each arm that they are offered for."""

    def __init__(self, keep: int | None, spill: Path) -> None:
        """Begin a spill file.

        Args:
            keep: rows per arm; None keeps all.
        """
        self._keep = keep
        self._path = spill
        self._spill = spill.open("wb")
        self._offset = 0
        self._heaps: defaultdict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
        self._held = array("b")
        """By row, in how many arms it is among the lowest."""
        self._offsets, self._sizes = array("q"), array("q")
        """By row, where its line stands in the spill file, if it is kept."""

    def offer(
        self, row: int, rank: int, arms: Sequence[tuple[str, str]], line: Callable[[], str]
    ) -> None:
        """Take in the next row. Rows are offered by number, from 0, without a gap.

        Args:
            arms: those that it is in; none for a row that is not to be kept.
            line: makes its line, where it is needed.
        """
        among = len(arms) if self._keep is None else self._among_the_lowest(row, -rank, arms)
        self._held.append(among)
        self._offsets.append(self._offset)
        size_bytes = 0
        if among:
            data = line().encode()
            size_bytes = len(data)
            self._spill.write(data)
            self._offset += size_bytes
        self._sizes.append(size_bytes)

    def _among_the_lowest(self, row: int, key: int, arms: Sequence[tuple[str, str]]) -> int:
        """In how many arms the row is for now. In a heap the largest rank stands first, negated."""
        among, keep = 0, self._keep or 0
        for arm in arms:
            heap = self._heaps[arm]
            if len(heap) < keep:
                heapq.heappush(heap, (key, row))
            elif key > heap[0][0]:
                _, displaced = heapq.heapreplace(heap, (key, row))
                self._held[displaced] -= 1
            else:
                continue
            among += 1
        return among

    def rows(self) -> list[int]:
        """The rows that are kept, in their order."""
        return np.flatnonzero(np.frombuffer(self._held, dtype=np.int8)).tolist()

    def lines(self, rows: list[int]) -> Iterator[bytes]:
        """The lines of kept rows."""
        self._spill.flush()
        with self._path.open("rb") as file:
            for row in rows:
                file.seek(self._offsets[row])
                yield file.read(self._sizes[row])

    def size_bytes(self, row: int) -> int:
        """The bytes of a kept row's line."""
        return self._sizes[row]

    def finish(
        self, path: Path, index: Index, change: Callable[[int, bytes], bytes] | None = None
    ) -> str:
        """Write the kept lines to a file, whole or not at all, and their places to the index.

        Args:
            change: makes the final line of a row out of the spilt one; None leaves all as they are.

        Returns:
            The file's SHA-256.
        """
        self._spill.flush()
        rows = self.rows()
        if change is None:
            found = self._as_spilt(path, index, rows)
        else:
            found = self._changed(path, index, rows, change)
        self.close()
        return found

    def _as_spilt(self, path: Path, index: Index, rows: list[int]) -> str:
        """The kept lines as they stand in the spill file, which becomes the file if it holds no other."""
        offsets, sizes = (np.frombuffer(n, np.int64)[rows] for n in (self._offsets, self._sizes))
        index.place_all(rows, np.cumsum(sizes) - sizes, sizes)
        if sizes.sum() == self._offset:
            with self._path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            self._path.replace(path)
            return found
        # Neighbours are copied together.
        begins = np.flatnonzero(np.r_[True, offsets[1:] != offsets[:-1] + sizes[:-1]])
        ends = np.r_[begins[1:], len(rows)] - 1
        spans = zip(offsets[begins].tolist(), (offsets + sizes)[ends].tolist(), strict=True)
        with self._path.open("rb") as file:
            return _written(path, (part for span in spans for part in _parts(file, *span)))

    def _changed(
        self, path: Path, index: Index, rows: list[int], change: Callable[[int, bytes], bytes]
    ) -> str:
        def lines() -> Iterator[bytes]:
            offset = 0
            for row, line in zip(rows, self.lines(rows), strict=True):
                line = change(row, line)
                yield line
                index.place(row, offset, len(line))
                offset += len(line)

        return _written(path, lines())

    def close(self) -> None:
        """Remove the spill file."""
        self._spill.close()
        self._path.unlink(missing_ok=True)


def _parts(file: BinaryIO, begin: int, end: int) -> Iterator[bytes]:
    """The bytes of a file from one place to another, bit by bit."""
    file.seek(begin)
    while begin < end:
        part = file.read(min(end - begin, COPY_BYTES))
        yield part
        begin += len(part)


def _written(path: Path, parts: Iterable[bytes]) -> str:
    """Write a file, whole or not at all; its SHA-256."""
    hasher, temporary = hashlib.sha256(), path.with_suffix(".tmp")
    with temporary.open("wb", buffering=COPY_BYTES) as file:
        for part in parts:
            file.write(part)
            hasher.update(part)
    temporary.replace(path)
    return hasher.hexdigest()
