"""Duplicates: traces with one text, and traces of one problem whose texts are much alike.

Of each group the trace whose id has the lowest hash stays, whatever the order of the rows. Texts are not
held: an exact duplicate is known by a digest, a near one by a sketch, the least hashes of all runs of 16
bytes. The share of equal hashes among the least of both estimates the share of runs that both have.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from valley.data.select import rank
from valley.data.selection_config import CleanConfig
from valley.data.traces import Trace

RUN_BYTES = 16
SKETCH = 64
"""Hashes in a sketch: the estimate of a similarity of 0.8 scatters by 0.05."""
MULTIPLIERS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))
Sketch = NDArray[np.uint32]


@dataclass
class Duplicates:
    """What has been seen of all traces; `found` says which are too many."""

    config: CleanConfig
    _ids: list[str] = field(default_factory=list)
    _first: dict[bytes, int] = field(default_factory=dict)
    """By digest of a text, the first row that has it."""
    _more: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    """By such a row, further rows of the same text."""
    _problems: dict[str, array[int]] = field(
        default_factory=lambda: defaultdict(lambda: array("i"))
    )
    _sketches: list[Sketch] = field(default_factory=list)

    def see(self, trace: Trace) -> None:
        """Take note of a trace."""
        row = len(self._ids)
        self._ids.append(trace.id)
        text = f"{trace.thinking}\0{trace.answer}".encode(errors="surrogatepass")
        first = self._first.setdefault(hashlib.blake2b(text, digest_size=16).digest(), row)
        if first != row:
            self._more[first].append(row)
        if self.config.duplicates == "near":
            self._problems[trace.problem_id].append(row)
            self._sketches.append(sketch(text))

    def found(self) -> dict[str, str]:
        """By the id of a trace that is too many, the id of the one that stays."""
        groups = [[first, *rows] for first, rows in self._more.items()]
        if self.config.duplicates == "near":
            groups = self._near(groups)
        too_many: dict[str, str] = {}
        for rows in groups:
            # Rows of one id are one trace.
            ids = sorted({self._ids[row] for row in rows}, key=lambda name: (rank(name, 0), name))
            too_many.update(dict.fromkeys(ids[1:], ids[0]))
        return too_many

    def _near(self, exact: list[list[int]]) -> list[list[int]]:
        """Groups of alike traces; what is alike to one of a group is of the group."""
        leader: dict[int, int] = {}

        def of(row: int) -> int:
            while (upper := leader.get(row, row)) != row:
                row = upper
            return row

        for rows in exact:
            for row in rows[1:]:
                leader[of(row)] = of(rows[0])
        for members in self._problems.values():
            for one, other in self._pairs(members):
                if of(one) != of(other) and self._alike(one, other):
                    leader[of(one)] = of(other)
        groups: dict[int, list[int]] = defaultdict(list)
        for row in leader:
            groups[of(row)].append(row)
        return [[top, *rows] for top, rows in groups.items()]

    def _pairs(self, rows: Sequence[int]) -> Iterator[tuple[int, int]]:
        """The pairs of a problem's rows that may be alike: their sketches share enough hashes for it."""
        sizes = np.array([len(self._sketches[row]) for row in rows])
        hashes = np.concatenate([self._sketches[row] for row in rows])
        owners = np.repeat(np.arange(len(rows)), sizes)
        for place, begin in enumerate(np.cumsum(sizes)[:-1].tolist(), start=1):
            mine = self._sketches[rows[place]]
            at = np.searchsorted(mine, hashes[:begin])
            at[at == len(mine)] = 0
            shared = np.bincount(owners[:begin][mine[at] == hashes[:begin]], minlength=place)
            wanted = self.config.near_similarity * np.maximum(sizes[:place], len(mine))
            for other in np.flatnonzero(shared >= wanted).tolist():
                yield rows[place], rows[other]

    def _alike(self, row: int, other: int) -> bool:
        return (
            resemblance(self._sketches[row], self._sketches[other]) >= self.config.near_similarity
        )


def sketch(text: bytes) -> Sketch:
    """The least hashes of a text's runs of 16 bytes; distinct, sorted."""
    padded = np.frombuffer(text.ljust(RUN_BYTES, b"\0"), dtype=np.uint8)
    with np.errstate(over="ignore"):
        # Eight bytes at every place, then sixteen, then mixed until each bit rests on all of them.
        eights = np.lib.stride_tricks.sliding_window_view(padded, 8).copy().view("<u8")[:, 0]
        runs = eights[:-8] * MULTIPLIERS[0] ^ (eights[8:] * MULTIPLIERS[1])
        runs ^= runs >> np.uint64(29)
        runs *= MULTIPLIERS[0]
        hashes = (runs >> np.uint64(32)).astype(np.uint32)
    # Sorting the lowest few is enough, if they are distinct enough.
    lowest = np.unique(hashes[hashes < min(2**32 * 4 * SKETCH // len(hashes), 2**32 - 1)])
    return (lowest if len(lowest) >= SKETCH else np.unique(hashes))[:SKETCH].copy()


def resemblance(one: Sketch, other: Sketch) -> float:
    """The share of runs that two texts have in common, estimated: of the least of both, in both."""
    least = np.union1d(one, other)[:SKETCH]
    shared = np.intersect1d(one, other, assume_unique=True)
    return float(np.isin(least, shared, assume_unique=True).mean())
