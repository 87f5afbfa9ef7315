"""Pools for tests, without texts worth reading."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hypothesis import strategies as st

from valley.data.index import Index
from valley.data.prepared import training_set
from valley.data.traces import Trace
from valley.records import digest


@dataclass(frozen=True)
class Row:
    """What selection knows of a trace."""

    id: str
    problem: str = "p"
    difficulty: str | None = None
    correct: bool | None = None
    teacher: str = "t"
    characters: int = 10
    label: str | None = None

    @property
    def trace(self) -> Trace:
        return Trace(self.id, self.problem, "x" * (self.characters - 1), "y", teacher=self.teacher)


def index_of(rows: Iterable[Row]) -> Index:
    index = Index()
    for row in rows:
        index.add(
            row.trace,
            difficulty=row.difficulty,
            correct=row.correct,
            correct_by="source",
            label=row.label,
        )
    return index


def training_texts(folder, chosen, data_seed, count_tokens=None, record=None):
    """The texts of a training set; its `subset.json` is left at `record`."""
    chosen = training_set(folder, chosen, data_seed, count_tokens)
    texts = list(chosen.texts())
    if record is not None:
        chosen.subset.write(record, digest(texts))
    return texts


def plain_pool(count: int) -> list[Row]:
    """A ninth of the traces in each of easy, medium, hard and correct, incorrect, unknown."""
    return [
        Row(
            f"p{i}/0",
            f"p{i}",
            ["easy", "medium", "hard"][i // 3 % 3],
            [True, False, None][i % 3],
        )
        for i in range(count)
    ]


@st.composite
def pools(draw: st.DrawFn, most: int = 120) -> list[Row]:
    """Rows of a few problems, two teachers and lengths over four doublings."""
    size = draw(st.integers(1, most))
    rng = draw(st.randoms(use_true_random=False))
    return [
        Row(
            f"t{number}",
            f"p{rng.randrange(max(1, size // 4))}",
            rng.choice(["easy", "medium", "hard", None]),
            rng.choice([True, False, None]),
            rng.choice(["A", "A", "B"]),
            rng.randrange(10, 160),
            rng.choice(["EASY", "HARD", None]),
        )
        for number in range(size)
    ]
