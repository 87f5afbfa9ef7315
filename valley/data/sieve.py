"""The sieve of a process that reads traces: what may still be kept is spilt, what cannot be is not written.

Of each arm the rows of lowest rank are kept. Whether a row is one of them is known at the end; that it is
none, as soon as a process has met enough lower ones.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from pathlib import Path

WRITTEN_BYTES = 1 << 20


class Sieve:
    """The spill file of one process, and what it lets through."""

    def __init__(self, keep: int | None, path: Path) -> None:
        """Begin a spill file.

        Args:
            keep: rows per arm; None lets all through that are in some arm.
        """
        self.path = path
        self._file = path.open("wb", buffering=WRITTEN_BYTES)
        self._keep = keep
        self._offset = 0
        self._lowest: dict[tuple[str, str], list[int]] = defaultdict(list)
        """By arm, the negatives of its lowest ranks so far, as a heap: the largest rank is first."""

    def lets_through(self, arms: list[tuple[str, str]], rank: int) -> bool:
        """Whether a row is among the lowest so far of one of its arms; it then counts as one of them."""
        if self._keep is None:
            return bool(arms)
        found = False
        for arm in arms:
            lowest = self._lowest[arm]
            if len(lowest) < self._keep:
                heapq.heappush(lowest, -rank)
                found = True
            elif -rank > lowest[0]:
                heapq.heapreplace(lowest, -rank)
                found = True
        return found

    def spill(self, line: bytes) -> tuple[int, int]:
        """Write a line; where it begins, and its size in bytes."""
        place = self._offset, len(line)
        self._file.write(line)
        self._offset += len(line)
        return place

    def flush(self) -> None:
        """Have others see what was spilt."""
        self._file.flush()

    def close(self) -> None:
        """Write what is left."""
        self._file.close()
