from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valley.data import keeper as module
from valley.data.index import NOWHERE
from valley.data.keeper import Keeper
from valley.data.reading import Part
from valley.data.sieve import Sieve
from valley.data.traces import Trace

KINDS = ((None, None), ("easy", None), ("easy", True), ("hard", False))
Row = tuple[int, int, int]
"""Rank, kind, and the length of its line."""


def arms(kind: int) -> list[tuple[str, str]]:
    """The arms of a kind of row."""
    difficulty, correct = KINDS[kind]
    name = {None: "unknown", True: "correct", False: "incorrect"}[correct]
    levels = ["all", *([difficulty] if difficulty else [])]
    return [(level, correctness) for level in levels for correctness in ("all", name)]


def read(folder: Path, keep: int | None, parts: list[list[Row]], processes: int) -> list[Part]:
    """The parts, read in turns by so many processes."""
    sieves = [Sieve(keep, folder / f"spill.{number}") for number in range(processes)]
    made = []
    for number, rows in enumerate(parts):
        sieve = sieves[number % processes]
        part = Part(sieve.path)
        for row, (rank, kind, length) in enumerate(rows):
            difficulty, correct = KINDS[kind]
            name = f"{number}/{row}"
            trace = Trace(name, "p", "", "a")
            part.index.add(trace, difficulty=difficulty, correct=correct, correct_by="me")
            place = (0, 0)
            if sieve.lets_through(arms(kind), rank):
                place = sieve.spill(f"{name}:{'é' * length}\n".encode())
            for column, value in zip(
                (part.ranks, part.offsets, part.sizes), (rank, *place), strict=True
            ):
                column.append(value)
        made.append(part)
    for sieve in sieves:
        sieve.close()
    return made


@settings(deadline=None)
@given(
    keep=st.sampled_from([None, 1, 2, 5, 100]),
    rows=st.lists(
        st.tuples(st.integers(0, 99), st.integers(0, 3), st.integers(0, 40)),
        max_size=30,
        unique_by=lambda row: row[0],
    ),
    cuts=st.lists(st.integers(0, 30), max_size=4).map(sorted),
    processes=st.integers(1, 3),
    copied_bytes=st.sampled_from([7, 1 << 20]),
    graded=st.booleans(),
)
def test_what_is_kept_stands_in_the_file_where_the_index_says(
    keep, rows, cuts, processes, copied_bytes, graded
):
    parts = [rows[a:b] for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    names = [f"{number}/{row}" for number, part in enumerate(parts) for row in range(len(part))]
    wanted: set[int] = set()
    for arm in {arm for kind in range(len(KINDS)) for arm in arms(kind)}:
        among = sorted((rank, row) for row, (rank, kind, _) in enumerate(rows) if arm in arms(kind))
        wanted.update(row for _, row in among[:keep])
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "COPY_BYTES", copied_bytes)
        keeper = Keeper(keep, read(Path(folder), keep, parts, processes))
        index = keeper.index
        assert index.ids == names and keeper.rows() == sorted(wanted)
        end = b"!\n" if graded else b"\n"
        path = Path(folder) / "traces.jsonl"
        said = keeper.finish(path, lambda row, line: line[:-1] + end)
        whole = path.read_bytes()
        lines = [f"{names[row]}:{'é' * rows[row][2]}".encode() + end for row in sorted(wanted)]
        assert whole == b"".join(lines) and said == hashlib.sha256(whole).hexdigest()
        places = [index.place_of(row) for row in range(len(rows))]
        assert [row for row, (at, _) in enumerate(places) if at != NOWHERE] == sorted(wanted)
        assert [whole[places[r][0] : sum(places[r])] for r in sorted(wanted)] == lines


def test_a_sieve_spills_little_that_is_displaced():
    with tempfile.TemporaryDirectory() as folder:
        sieve = Sieve(10, Path(folder) / "spill")
        ranks = [(7919 * n) % 10_007 for n in range(10_000)]
        through = sum(sieve.lets_through([("all", "all")], rank) for rank in ranks)
        sieve.close()
    # The expectation is 10 + 10 ln(10,000 / 10) = 79.
    assert 10 <= through < 160
