from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valley.data import keeper as module
from valley.data.index import NOWHERE, Index
from valley.data.keeper import Keeper
from valley.data.traces import Trace

ARMS = (("all", "all"), ("easy", "all"), ("easy", "correct"))


def filled(
    folder: Path, keep: int | None, rows: list[tuple[int, int, int]]
) -> tuple[Keeper, Index]:
    """A keeper that was offered rows of (rank, arms, line's length), and an index with as many."""
    keeper, index = Keeper(keep, folder / "spill"), Index()
    for row, (rank, arms, length) in enumerate(rows):
        line = lambda r=row, n=length: f"{r}:" + "é" * n + "\n"  # noqa: E731
        keeper.offer(row, rank, list(ARMS[:arms]), line)
        index.add(Trace(str(row), "p", "", "a"), difficulty=None, correct=None, correct_by=None)
    return keeper, index


def lowest(keep: int | None, rows: list[tuple[int, int, int]]) -> list[int]:
    """The rows that are among the `keep` lowest of an arm."""
    kept: set[int] = set()
    for arm in range(len(ARMS)):
        among = sorted((rank, row) for row, (rank, arms, _) in enumerate(rows) if arms > arm)
        kept.update(row for _, row in among[:keep])
    return sorted(kept)


@settings(deadline=None)
@given(
    keep=st.sampled_from([None, 1, 2, 5, 100]),
    rows=st.lists(
        st.tuples(st.integers(0, 99), st.integers(0, 3), st.integers(0, 40)),
        max_size=30,
        unique_by=lambda row: row[0],
    ),
    part_bytes=st.sampled_from([7, 1 << 20]),
    graded=st.booleans(),
)
def test_what_is_kept_stands_in_the_file_where_the_index_says(keep, rows, part_bytes, graded):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "COPY_BYTES", part_bytes)
        keeper, index = filled(Path(folder), keep, rows)
        end = b"!\n" if graded else b"\n"
        wanted = lowest(keep, rows)
        path = Path(folder) / "traces.jsonl"
        said = keeper.finish(path, index, lambda row, line: line[:-1] + end)
        whole = path.read_bytes()
        lines = [f"{row}:{'é' * rows[row][2]}".encode() + end for row in wanted]
        assert whole == b"".join(lines) and said == hashlib.sha256(whole).hexdigest()
        places = [index.place_of(row) for row in range(len(rows))]
        assert [row for row, (offset, _) in enumerate(places) if offset != NOWHERE] == wanted
        assert [whole[places[r][0] : sum(places[r])] for r in wanted] == lines
        assert [file.name for file in Path(folder).iterdir()] == ["traces.jsonl"]
