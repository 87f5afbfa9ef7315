"""The pool's index: what is known of every trace but its text, as one table of columns.

`index.parquet` has a row per trace that the source yielded, kept or not: 1.4 million of them are read in
seconds, and selection needs nothing else. Where a trace's text was kept, the row says where its line
stands in `traces.jsonl`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from valley.data.traces import Trace
from valley.errors import UserError
from valley.records import iterate_places

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "index.parquet"
SCHEMA = "valley.index/1"
CORRECT, INCORRECT, UNKNOWN = 1, 0, -1
NOWHERE = -1
"""The offset of a trace whose text was not kept."""

Numbers = NDArray[np.int64]
Mask = NDArray[np.bool_]


class _Numbers(dict[str | None, int]):
    """The numbers of words; a new one is given the next, and added to `words`."""

    def __init__(self, words: Iterable[str]) -> None:
        self.words = list(words)
        super().__init__({word: number for number, word in enumerate(self.words)})
        self[None] = -1

    def __missing__(self, word: str) -> int:
        self.words.append(word)
        return self.setdefault(word, len(self.words) - 1)


class Column:
    """A column of few distinct words, each row holding the number of its word; -1 is none."""

    def __init__(self, words: Iterable[str] = ()) -> None:
        self._codes = array("i")
        self._numbers = _Numbers(words)

    @property
    def words(self) -> list[str]:
        """The words, by number."""
        return self._numbers.words

    def append(self, word: str | None) -> None:
        """Add a row."""
        self._codes.append(self._numbers[word])

    def set(self, row: int, word: str | None) -> None:
        """Change a row."""
        self._codes[row] = self._numbers[word]

    def find(self, word: str) -> int:
        """The number of a word; -2, which no row has, of a word that is not there."""
        return self._numbers.get(word, -2)

    def word(self, row: int) -> str | None:
        """The word of a row."""
        code = self._codes[row]
        return None if code < 0 else self.words[code]

    def extend(self, other: Column) -> None:
        """Add another's rows."""
        numbers = np.array([-1, *(self._numbers[word] for word in other.words)], dtype=np.int32)
        self._codes.frombytes(numbers[other.codes + 1].tobytes())

    @property
    def codes(self) -> NDArray[np.int32]:
        """The rows' numbers. No row may be added while this is held."""
        return np.frombuffer(self._codes, dtype=np.int32)

    def counts(self, among: Mask) -> dict[str, int]:
        """How many rows have which word, by the word; "" is none."""
        found = np.bincount(self.codes[among] + 1, minlength=len(self.words) + 1)
        named = zip(["", *self.words], found.tolist(), strict=True)
        return {word: count for word, count in sorted(named) if count}


@dataclass
class Index:
    """The rows of a pool. `add` makes them; all else reads."""

    ids: list[str] = field(default_factory=list)
    problem: Column = field(default_factory=Column)
    difficulty: Column = field(default_factory=Column)
    correct_by: Column = field(default_factory=Column)
    """What said whether a trace is correct: `source`, `grader`, `pass_rate >= 1`, `judgement`."""
    teacher: Column = field(default_factory=Column)
    source: Column = field(default_factory=Column)
    label: Column = field(default_factory=Column)
    removed: Column = field(default_factory=Column)
    """Why a trace is in no arm: `contaminated`, `duplicate`, `special_judge`; none for the others."""
    duplicate_of: dict[int, str] = field(default_factory=dict)
    """By row, the id of the trace that stays in its stead."""
    content: str | None = None
    """The digest of the problems and the kept traces; None of pools that do not say."""
    _correct: array[int] = field(default_factory=lambda: array("b"))
    _characters: array[int] = field(default_factory=lambda: array("q"))
    _offset: array[int] = field(default_factory=lambda: array("q"))
    _bytes: array[int] = field(default_factory=lambda: array("q"))

    def __len__(self) -> int:
        return len(self.ids)

    def add(
        self,
        trace: Trace,
        *,
        difficulty: str | None,
        correct: bool | None,
        correct_by: str | None,
        source: str = "",
        label: str | None = None,
        removed: str | None = None,
    ) -> int:
        """Add a trace whose text is kept nowhere yet; its row."""
        self.ids.append(trace.id)
        self.problem.append(trace.problem_id)
        self.difficulty.append(difficulty)
        self._correct.append(UNKNOWN if correct is None else int(correct))
        self.correct_by.append(correct_by if correct is not None else None)
        self.teacher.append(trace.teacher)
        self.source.append(source)
        self.label.append(label)
        self.removed.append(removed)
        self._characters.append(len(trace.thinking) + len(trace.answer))
        self._offset.append(NOWHERE)
        self._bytes.append(0)
        return len(self.ids) - 1

    def extend(self, other: Index) -> None:
        """Add the rows of another."""
        rows = len(self)
        self.duplicate_of.update((rows + row, one) for row, one in other.duplicate_of.items())
        self.ids += other.ids
        for name in WORDS:
            getattr(self, name).extend(getattr(other, name))
        for name in ("_correct", "_characters", "_offset", "_bytes"):
            getattr(self, name).extend(getattr(other, name))

    def place(self, row: int, offset: int, size_bytes: int) -> None:
        """Say where a trace's line stands."""
        self._offset[row], self._bytes[row] = offset, size_bytes

    def grade(self, row: int, correct: bool, by: str) -> None:
        """Say what a trace's correctness turned out to be."""
        self._correct[row] = int(correct)
        self.correct_by.set(row, by)

    def is_graded(self, row: int) -> bool:
        """Whether it is known that the trace is correct, or is not."""
        return self._correct[row] != UNKNOWN

    def place_of(self, row: int) -> tuple[int, int]:
        """The offset and the bytes of a trace's line; the offset is `NOWHERE` if it is not kept."""
        return self._offset[row], self._bytes[row]

    @property
    def correct(self) -> NDArray[np.int8]:
        """1, 0 or -1 (unknown), by row."""
        return np.frombuffer(self._correct, dtype=np.int8)

    @property
    def characters(self) -> Numbers:
        """Length of thought and answer, by row."""
        return np.frombuffer(self._characters, dtype=np.int64)

    @property
    def kept(self) -> Mask:
        """Whose text is kept."""
        return np.frombuffer(self._offset, dtype=np.int64) != NOWHERE

    @property
    def usable(self) -> Mask:
        """What is in some arm: all that nothing removed."""
        return self.removed.codes < 0

    def arm(self, difficulty: str, correctness: str) -> Mask:
        """The traces of an arm. What fits no difficulty or correctness is in `all` only."""
        chosen = self.usable
        if difficulty != "all":
            chosen = chosen & (self.difficulty.codes == self.difficulty.find(difficulty))
        if correctness != "all":
            wanted = {"correct": CORRECT, "incorrect": INCORRECT, "unknown": UNKNOWN}[correctness]
            chosen = chosen & (self.correct == wanted)
        return chosen

    def write(self, path: Path) -> None:
        """Write `index.parquet`, whole or not at all."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        duplicate_of = [self.duplicate_of.get(row) for row in range(len(self))]
        columns: dict[str, Any] = {
            "id": pa.array(self.ids, pa.string()),
            **{name: _words(getattr(self, name)) for name in WORDS},
            "correct": pa.array(self.correct, mask=self.correct == UNKNOWN).cast(pa.bool_()),
            "characters": pa.array(self.characters),
            "duplicate_of": pa.array(duplicate_of, pa.string()),
            "offset": pa.array(np.frombuffer(self._offset, np.int64), mask=~self.kept),
            "bytes": pa.array(np.frombuffer(self._bytes, np.int64), mask=~self.kept),
        }
        said = {"schema": SCHEMA, **({"content": self.content} if self.content else {})}
        table = pa.table(columns).replace_schema_metadata(said)
        temporary = path.with_suffix(".tmp")
        pq.write_table(table, temporary, compression="zstd")
        temporary.replace(path)


WORDS = ("problem", "difficulty", "correct_by", "teacher", "source", "label", "removed")


def read_index(folder: Path) -> Index:
    """The index of a prepared pool. A pool of an earlier version has none: it is made of the traces.

    Raises:
        UserError: it is damaged, or of another version.
    """
    path = folder / NAME
    if not path.exists():
        return _of_traces(folder / "traces.jsonl")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        said = table.schema.metadata or {}
        if (found := said.get(b"schema")) != SCHEMA.encode():
            raise UserError(f"{path}: schema {found!r} found, {SCHEMA!r} expected")
        index = _of_table(table)
        index.content = said[b"content"].decode() if b"content" in said else None
        return index
    except (pa.ArrowInvalid, OSError, KeyError) as error:
        raise UserError(
            f"{path}: cannot be read ({error}); prepare the pool again: remove its folder and launch"
        ) from error


def _of_table(table: pa.Table) -> Index:
    def numbers(name: str, none: int, kind: Any) -> bytes:
        filled = table[name].fill_null(none) if table[name].null_count else table[name]
        return filled.to_numpy().astype(kind).tobytes()

    index = Index(ids=table["id"].to_pylist())
    for name in WORDS:
        whole = table[name].unify_dictionaries().combine_chunks()
        words = whole.dictionary.to_pylist() if len(table) else []
        codes = whole.indices.fill_null(-1).to_numpy().astype(np.int32)
        column = Column(words=words)
        column._codes.frombytes(codes.tobytes())
        setattr(index, name, column)
    import pyarrow as pa

    correct = table["correct"].cast(pa.int8()).fill_null(UNKNOWN).to_numpy()
    index._correct.frombytes(correct.astype(np.int8).tobytes())
    index._characters.frombytes(numbers("characters", 0, np.int64))
    index._offset.frombytes(numbers("offset", NOWHERE, np.int64))
    index._bytes.frombytes(numbers("bytes", 0, np.int64))
    stands_for = table["duplicate_of"].drop_null()
    if len(stands_for):
        rows = np.flatnonzero(~table["duplicate_of"].is_null().to_numpy())
        index.duplicate_of = dict(zip(rows.tolist(), stands_for.to_pylist(), strict=True))
    return index


def _words(column: Column) -> pa.DictionaryArray:
    import pyarrow as pa

    codes = column.codes
    return pa.DictionaryArray.from_arrays(
        pa.array(codes, mask=codes < 0), pa.array(column.words, pa.string())
    )


def _of_traces(path: Path) -> Index:
    index = Index()
    for offset, size_bytes, trace in iterate_places(path, Trace):
        row = index.add(
            trace, difficulty=trace.difficulty, correct=trace.correct, correct_by="source"
        )
        index.place(row, offset, size_bytes)
    return index
