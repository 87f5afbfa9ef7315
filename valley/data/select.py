"""Training subsets: which traces of the pool a cell learns from, and in which order.

An arm's order is computed once on the whole pool, and a set of some size is its beginning, so that sets
are nested (the first 1,000 of 10,000 are the 1,000), the same on every machine, and apart from the
training and sampling seeds. The steps, each of which may do nothing:

1. the arm: traces of a difficulty and a correctness, of one teacher;
2. of each problem the first so many by rank (`traces_per_problem`);
3. of arms that are matched, the traces that have a partner in every other (`match`);
4. the order: by rank of the trace, the problem or the matched tuple; or by shares (`mix`).

A rank is the hash of an id under `data_seed`: it knows nothing of the other rows, so that rows added to
the pool shift a set's border and little else. A matched tuple has the largest rank of its members. What
stands first is kept first: nesting, then balance, then size; too few is an error and never a smaller set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valley.data.arm import Arm, too_few
from valley.data.index import Index, Mask, Numbers
from valley.data.selection_config import (
    CORRECTNESS_ARMS,
    DIFFICULTY_ARMS,
    MatchConfig,
    MixConfig,
)
from valley.errors import UserError

Ranks = NDArray[np.uint64]


@dataclass(frozen=True)
class Order:
    """An arm's rows in the order that sets are drawn in."""

    rows: Numbers
    units: Numbers
    """By row, how many of what `size` counts the rows up to it are; not of tokens, which depend on a
    tokenizer."""

    @property
    def size(self) -> int:
        """The largest size that can be drawn."""
        return int(self.units[-1]) if len(self.units) else 0

    def first(self, size: int) -> Numbers:
        """The rows of a set of some size: of characters as many as are within it, else exactly so many."""
        return self.rows[: int(np.searchsorted(self.units, size, side="right"))]


def rank(unit_id: str, data_seed: int) -> int:
    """The place of a trace or problem in every set drawn under this seed.

    It is the first 64 bits of a hash: that two of ten million ids agree in them has a chance of 3e-6, and
    then the order of the pool's file decides.
    """
    return int.from_bytes(hashlib.sha256(f"{data_seed}:{unit_id}".encode()).digest()[:8], "big")


def ranks(ids: Iterable[str], data_seed: int) -> Ranks:
    """The ranks of ids."""
    return np.fromiter((rank(one, data_seed) for one in ids), dtype=np.uint64)


def order(index: Index, arm: Arm, data_seed: int) -> Order:
    """An arm's rows in their order."""
    config = arm.select
    rows = _eligible(index, arm)
    match = config.match
    if match is not None and f"{arm.difficulty}/{arm.correctness}" in match.arms:
        rows, keys = _matched(index, arm, match, data_seed)
    else:
        keys = ranks((index.ids[row] for row in rows.tolist()), data_seed)
        rows, keys = _capped(index, rows, keys, config.traces_per_problem)
    if config.mix is not None:
        rows = _mixed(index, rows, keys, config.mix)
    elif config.unit == "problem":
        rows = rows[np.lexsort((keys, _problem_ranks(index, rows, data_seed)))]
    else:
        rows = rows[np.argsort(keys, kind="stable")]
    return Order(rows, _units(index, rows, config.size_in))


def draw(index: Index, arm: Arm, size: int, data_seed: int) -> Numbers:
    """The rows of a set of some size.

    Raises:
        UserError: the arm holds fewer; the message has the counts per stratum.
    """
    whole = order(index, arm, data_seed)
    if size > whole.size:
        raise UserError(too_few(size, arm, whole.size, strata(index)))
    return whole.first(size)


def strata(index: Index) -> dict[str, int]:
    """The number of traces in every arm, by `difficulty/correctness`."""
    return {
        f"{difficulty}/{correctness}": int(index.arm(difficulty, correctness).sum())
        for difficulty in DIFFICULTY_ARMS
        for correctness in CORRECTNESS_ARMS
    }


def _eligible(index: Index, arm: Arm) -> Numbers:
    """The rows of an arm, without order."""
    chosen: Mask = index.arm(arm.difficulty, arm.correctness)
    if arm.select.teacher is not None:
        chosen = chosen & (index.teacher.codes == index.teacher.find(arm.select.teacher))
    return np.flatnonzero(chosen)


def _problem_ranks(index: Index, rows: Numbers, data_seed: int) -> Ranks:
    return ranks(index.problem.words, data_seed)[index.problem.codes[rows]]


def _place_in_group(groups: NDArray[Any], keys: Ranks) -> Numbers:
    """How many of its group stand before each, by key."""
    by_group = np.lexsort((keys, groups))
    grouped = groups[by_group]
    begins = np.flatnonzero(np.r_[True, grouped[1:] != grouped[:-1]]) if len(grouped) else grouped
    lengths = np.diff(np.r_[begins, len(grouped)])
    places = np.empty(len(grouped), dtype=np.int64)
    places[by_group] = np.arange(len(grouped)) - np.repeat(begins, lengths)
    return places


def _capped(index: Index, rows: Numbers, keys: Ranks, most: int | None) -> tuple[Numbers, Ranks]:
    """The first `most` of each problem, by key."""
    if most is None:
        return rows, keys
    chosen = _place_in_group(index.problem.codes[rows], keys) < most
    return rows[chosen], keys[chosen]


def _matched(index: Index, arm: Arm, match: MatchConfig, data_seed: int) -> tuple[Numbers, Ranks]:
    """The arm's rows that have a partner in every other arm, each with its tuple's rank.

    In a bin of what is matched on, the first of one arm goes with the first of the others, the second
    with the second: a row that is added to a bin moves one more member over its border, if any.
    """
    bins = _bins(index, match)
    parts = []
    for name in match.arms:
        difficulty, _, correctness = name.partition("/")
        rows = _eligible(index, Arm(difficulty, correctness, arm.select))
        keys = ranks((index.ids[row] for row in rows.tolist()), data_seed)
        rows, keys = _capped(index, rows, keys, arm.select.traces_per_problem)
        places = _place_in_group(bins[rows], keys)
        by_tuple = np.lexsort((places, bins[rows]))
        tuples = bins[rows] * (len(index) + 1) + places
        parts.append((tuples[by_tuple], rows[by_tuple], keys[by_tuple]))
    shared = parts[0][0]
    for tuples, _, _ in parts[1:]:
        shared = np.intersect1d(shared, tuples, assume_unique=True)
    found = [np.searchsorted(tuples, shared) for tuples, _, _ in parts]
    largest = np.max([keys[at] for (_, _, keys), at in zip(parts, found, strict=True)], axis=0)
    mine = match.arms.index(f"{arm.difficulty}/{arm.correctness}")
    return parts[mine][1][found[mine]], largest.astype(np.uint64)


def _bins(index: Index, match: MatchConfig) -> Numbers:
    """By row, the number of the bin: equal in all that arms are matched on."""
    columns: dict[str, NDArray[Any]] = {
        "length": length_bins(index.characters, match.bins_per_doubling),
        "difficulty": index.difficulty.codes,
        "label": index.label.codes,
        "problem": index.problem.codes,
        "teacher": index.teacher.codes,
        "source": index.source.codes,
    }
    bins = np.zeros(len(index), dtype=np.int64)
    for name in match.by:
        column = columns[name].astype(np.int64)
        if len(column) and column.max() < 0:
            raise UserError(
                f"data.select.match.by: {name} found, and no trace of the pool has one; leave it out"
            )
        bins = bins * (int(column.max(initial=0)) + 2) + column + 1
        # Numbered anew, so that the next product stays small.
        bins = np.unique(bins, return_inverse=True)[1].astype(np.int64)
    return bins


def length_bins(characters: Numbers, per_doubling: int) -> Numbers:
    """The bin of each length. The borders are powers of two, whatever lengths there are: a row that is
    added moves no other to another bin."""
    return np.floor(np.log2(np.maximum(characters, 1)) * per_doubling).astype(np.int64)


def _mixed(index: Index, rows: Numbers, keys: Ranks, mix: MixConfig) -> Numbers:
    """Rows in an order whose every beginning has the shares, until the first value is used up."""
    values = _mix_values(index, rows, mix)
    total = sum(mix.shares.values())
    moments = np.full(len(rows), np.inf)
    end = np.inf
    for value, share in mix.shares.items():
        among = np.flatnonzero(values == value)
        places = np.argsort(np.argsort(keys[among], kind="stable"), kind="stable")
        # The n-th of a value is due when n - 1/2 of it are: then a beginning is never off by more than one.
        moments[among] = (places + 0.5) / (share / total)
        end = min(end, len(among) / (share / total))
    due = np.flatnonzero(moments <= end)
    return rows[due[np.lexsort((keys[due], moments[due]))]]


def _mix_values(index: Index, rows: Numbers, mix: MixConfig) -> NDArray[Any]:
    """By row, the word that shares go by."""
    if mix.by == "length":
        lengths = index.characters[rows]
        split = mix.split_characters
        if split is None:
            split = int(np.median(lengths)) if len(rows) else 0
        return np.where(lengths > split, "long", "short")
    if mix.by == "correctness":
        return np.array(["unknown", "incorrect", "correct"])[index.correct[rows] + 1]
    column = {"teacher": index.teacher, "difficulty": index.difficulty, "source": index.source}
    of = column[mix.by]
    return np.array(["", *of.words], dtype=object)[of.codes[rows] + 1]


def _units(index: Index, rows: Numbers, size_in: str) -> Numbers:
    """By row, how many of what `size` counts the rows up to it are."""
    if size_in == "characters":
        return np.cumsum(index.characters[rows])
    if size_in == "problems":
        problems = index.problem.codes[rows]
        return np.cumsum(np.r_[True, problems[1:] != problems[:-1]]) if len(rows) else rows
    return np.arange(1, len(rows) + 1)
