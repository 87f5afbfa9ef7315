"""OpenCodeReasoning and OpenCodeReasoning-2: traces of DeepSeek-R1 on competitive programming.

Every column is text. `r1_generation` (in the first release `output`) is the whole answer with its
thought; `pass_rate`, which old revisions lack, is "-1" where it was not measured. The question is a row of
another data set (see `questions`), except in split_0 of the first release, which repeats it.

A trace's id is its row's. Where several rows of the second release have one id, and in the first, whose
ids are of questions, a hash of the generation is put behind it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from valley.data.candidates import Candidate, Wanted, everything
from valley.data.problems import Problem
from valley.data.sources import shards
from valley.data.sources.open_code_rows import (
    comes_from,
    judgement_of,
    pass_rate_of,
    repeated_question,
    short,
    split_thought,
    trace_id,
)
from valley.data.sources.question_sets import label, told
from valley.data.sources.questions import Questions
from valley.data.traces import Trace

TEACHER = "DeepSeek-R1"
FIRST_RELEASE_SOURCE = "opencodereasoning"
TEXTS = ("dataset", "split", "input")


@dataclass(frozen=True)
class _Asked:
    """What a row's reference came to."""

    problem: str | None
    why: str
    """Why there is none."""
    label: str | None
    """The difficulty that the question set states."""


Resolve = Callable[[Any, Any, Any], _Asked]
"""Finds a question by data set, split and index."""


class _Release:
    """What both releases have in common: rows that hold an answer, and refer to a question."""

    ANSWER: ClassVar[str]
    COLUMNS: ClassVar[tuple[str, ...]]
    OPTIONAL: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        paths: Sequence[Path],
        questions: Questions,
        shared: frozenset[str] | None = None,
    ) -> None:
        """Read nothing yet.

        Args:
            shared: ids that several rows of the data set have; None until they are looked for.
        """
        self._paths = paths
        self._questions = questions
        self._shared = shared
        self._utf8 = False
        self.tally: Counter[str] = Counter()

    def parts(self) -> list[Self]:
        """A reader of each shard. What the question sets state is read now, once for all of them."""
        self._questions.load()
        shared = self._look_for_shared()
        return [type(self)([path], self._questions, shared) for path in self._paths]

    def problems(self, wanted: Wanted = everything) -> Iterator[Problem]:
        """Yield the wanted problems of the question sets."""
        yield from self._questions.problems(wanted)

    def candidates(self) -> Iterator[Candidate]:
        """Yield the traces whose question is there or could be resolved."""
        self.tally.clear()
        self._look_for_shared()
        counts, resolve = self.tally, _remembering(self._questions)
        for batch in shards.read(
            self._paths, self.COLUMNS, self.OPTIONAL, texts=(self.ANSWER, *TEXTS)
        ):
            self._utf8 = batch.utf8
            for row in batch.rows():
                counts["rows"] += 1
                parts, why = split_thought(row[self.ANSWER])
                if parts is None:
                    counts[f"left out: {why}"] += 1
                    continue
                asked = self._asked(row, resolve)
                if asked.problem is None:
                    counts[f"unresolved: {asked.why}"] += 1
                    continue
                counts["candidates"] += 1
                stated = label(row["difficulty"])
                _count_doubt(asked, stated, counts)
                yield self._candidate(row, asked.problem, parts, stated)

    def counts(self) -> dict[str, int]:
        """Rows by what became of them, and why problems have no tests."""
        first = {name: self.tally[name] for name in ("rows", "candidates")}
        return first | told(self.tally, self._questions.unusable)

    def _asked(self, row: dict[str, Any], resolve: Resolve) -> _Asked:
        return resolve(row["dataset"], row["split"], row["index"])

    def _look_for_shared(self) -> frozenset[str]:
        """The ids that do not tell rows apart, where ids are of rows."""
        return frozenset()

    def _candidate(
        self, row: dict[str, Any], problem: str, parts: tuple[str, str], stated: str | None
    ) -> Candidate:
        raise NotImplementedError


class OpenCodeReasoning2(_Release):
    """The second release, of one language."""

    ANSWER = "r1_generation"
    COLUMNS = (ANSWER, "dataset", "split", "index", "id")
    OPTIONAL = ("pass_rate", "judgement", "difficulty", "question_id")

    def _candidate(
        self, row: dict[str, Any], problem: str, parts: tuple[str, str], stated: str | None
    ) -> Candidate:
        identity = trace_id(row)
        if self._shared and identity in self._shared:
            self.tally["doubtful: an id that several rows have"] += 1
            identity = f"{identity}/{short(row[self.ANSWER])}"
        return Candidate(
            Trace(identity, problem, *parts, teacher=TEACHER),
            label=stated,
            pass_rate=pass_rate_of(row["pass_rate"], self.tally),
            judgement=judgement_of(row["judgement"], self.tally),
            source=problem.rpartition("/")[0],
            question_id=row["question_id"] or None,
            utf8=self._utf8,
        )

    def _look_for_shared(self) -> frozenset[str]:
        if self._shared is None:
            # Their hashes first: a million ids would take more memory than all else here.
            hashes = np.sort(np.fromiter(map(hash, self._ids()), np.int64))
            twice = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
            found = Counter(name for name in self._ids() if hash(name) in twice) if twice else {}
            self._shared = frozenset(name for name, rows in found.items() if rows > 1)
        return self._shared

    def _ids(self) -> Iterator[str]:
        for batch in shards.read(self._paths, ("id",)):
            yield from (str(name) for name in batch.columns["id"] if name)


class OpenCodeReasoning(_Release):
    """The first release: split_0 repeats its questions, split_1 refers to them."""

    ANSWER = "output"
    COLUMNS = (ANSWER, "dataset", "split", "id")
    OPTIONAL = ("input", "difficulty", "index")

    def problems(self, wanted: Wanted = everything) -> Iterator[Problem]:
        """Yield the wanted problems: those repeated in the rows, which have no tests, and the others."""
        seen: set[str] = set()
        for batch in shards.read(
            self._paths, ("dataset", "split"), ("input", "difficulty"), texts=TEXTS
        ):
            for row in batch.rows():
                if not (text := repeated_question(row)):
                    continue
                identity = _question_of(text)
                if identity not in seen and wanted(identity):
                    seen.add(identity)
                    yield Problem(
                        identity,
                        comes_from(row),
                        text,
                        tests=[],
                        difficulty=label(row["difficulty"]),
                    )
        yield from super().problems(wanted)

    def _asked(self, row: dict[str, Any], resolve: Resolve) -> _Asked:
        if text := repeated_question(row):
            return _Asked(_question_of(text), "", None)
        return super()._asked(row, resolve)

    def _candidate(
        self, row: dict[str, Any], problem: str, parts: tuple[str, str], stated: str | None
    ) -> Candidate:
        # Ids here are of questions, each of which has many answers.
        identity = f"{row['id']}/{short(row['output'])}"
        return Candidate(
            Trace(identity, problem, *parts, teacher=TEACHER),
            label=stated,
            pass_rate=None,
            judgement=None,
            source=comes_from(row),
            question_id=row["id"] or None,
            utf8=self._utf8,
        )


def _remembering(questions: Questions) -> Resolve:
    """`questions.resolve`, which is asked for the same row a hundred times over."""
    known: dict[tuple[Any, Any, Any], _Asked] = {}

    def resolve(dataset: Any, split: Any, index: Any) -> _Asked:
        key = (dataset, split, index)
        if key not in known:
            problem, why = questions.resolve(*key)
            known[key] = _Asked(problem, why, questions.label(problem) if problem else None)
        return known[key]

    return resolve


def _count_doubt(asked: _Asked, stated: str | None, counts: Counter[str]) -> None:
    """Count a row whose label is not its question's: a sign of rows that were renumbered."""
    if stated and asked.label and stated != asked.label and asked.problem:
        counts[f"doubtful: {asked.problem.rpartition('/')[0]}: not its question's difficulty"] += 1


def _question_of(text: str) -> str:
    return f"{FIRST_RELEASE_SOURCE}/{short(text)}"
