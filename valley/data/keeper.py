"""The keeper: which traces' texts a pool keeps, decided in one pass in bounded memory.

Of each arm the `keep` traces of lowest rank are kept. A text goes to a spill file as soon as it is among
the lowest so far, and is left behind there when others displace it; of N rows about `keep * ln(N / keep)`
go there in vain. At the end the kept ones are copied to `traces.jsonl`, in the order they came in.
"""

from __future__ import annotations

import hashlib
import heapq
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

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
        self._heaps: dict[tuple[str, str], list[tuple[int, int]]] = {}
        self._held = array("b")
        """By row, in how many arms it is among the lowest."""
        self._offsets, self._sizes = array("q"), array("q")
        """By row, where its line stands in the spill file, if it is kept."""

    def offer(
        self, row: int, rank: int, arms: list[tuple[str, str]], line: Callable[[], str]
    ) -> None:
        """Take in the next row. Rows are offered by number, from 0, without a gap.

        Args:
            arms: those that it is in; none for a row that is not to be kept.
            line: makes its line, where it is needed.
        """
        self._held.append(0)
        self._offsets.append(0)
        self._sizes.append(0)
        for arm in arms:
            if self._keep is None:
                self._held[row] += 1
                continue
            heap = self._heaps.setdefault(arm, [])
            # The largest rank stands first.
            if len(heap) < self._keep:
                heapq.heappush(heap, (-rank, row))
            elif rank < -heap[0][0]:
                _, displaced = heapq.heapreplace(heap, (-rank, row))
                self._held[displaced] -= 1
            else:
                continue
            self._held[row] += 1
        if self._held[row]:
            data = line().encode()
            self._spill.write(data)
            self._offsets[row], self._sizes[row] = self._offset, len(data)
            self._offset += len(data)

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

    def finish(self, path: Path, index: Index, change: Callable[[int, bytes], bytes]) -> str:
        """Write the kept lines to a file, whole or not at all, and their places to the index.

        Args:
            change: makes the final line of a row out of the spilt one.

        Returns:
            The file's SHA-256.
        """
        rows = self.rows()
        temporary = path.with_suffix(".tmp")
        offset, hasher = 0, hashlib.sha256()
        with temporary.open("wb", buffering=COPY_BYTES) as file:
            for row, line in zip(rows, self.lines(rows), strict=True):
                line = change(row, line)
                file.write(line)
                hasher.update(line)
                index.place(row, offset, len(line))
                offset += len(line)
        temporary.replace(path)
        self.close()
        return hasher.hexdigest()

    def close(self) -> None:
        """Remove the spill file."""
        self._spill.close()
        self._path.unlink(missing_ok=True)
