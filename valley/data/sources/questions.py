"""Questions looked up: from (data set, split, row number) to a problem.

OpenCodeReasoning does not repeat most of its questions; it says which row of which data set they are. The
row numbers hold only for the revision that its authors read, so pin those of the question sets too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from valley.data.candidates import Wanted
from valley.data.problems import Problem
from valley.data.sources import question_sets, shard_files
from valley.data.sources.place import Place, split_patterns
from valley.data.sources.question_sets import CALLED, SETS, problem_id
from valley.errors import UserError


class Questions:
    """The question sets of a pool. Of a split that was asked for, each row's label is held."""

    def __init__(self, where: str, places: Mapping[str, Place]) -> None:
        """Read nothing yet.

        Args:
            where: the setting that holds the places, for messages.
            places: where each set lies, by a name of `SETS`.
        """
        self._where = where
        self._places = dict(places)
        self._asked: dict[tuple[str, str], list[str | None] | None] = {}
        self.unusable: Counter[str] = Counter()
        """Why problems have no tests, by set, split and reason; counted by `problems`."""

    def identity(self) -> dict[str, Any]:
        """What decides the questions, by set.

        Raises:
            UserError: a set's files are missing, or of another revision.
        """
        said = {}
        for name, place in sorted(self._places.items()):
            if place.path is None:
                said[name] = place.identity(f"{self._where}.{name}", [])
                continue
            root = Path(place.path)
            paths = [path for split in SETS[name].splits for path in self._paths(name, split)]
            if not paths:
                raise UserError(
                    f"{self._where}.{name}: {root} holds no split of this set; expected a folder with "
                    f"one of {', '.join(split_patterns('train'))}"
                )
            said[name] = {"digest": shard_files.digest(root, paths)}
        return said

    def load(self) -> None:
        """Read the labels of all splits that are there, which `resolve` else reads as it needs them.

        Raises:
            UserError: a set's files are damaged.
        """
        for name in self._places:
            for split in SETS[name].splits:
                self._load(name, split)

    def resolve(self, dataset: Any, split: Any, index: Any) -> tuple[str | None, str]:
        """The id of the problem that a row refers to, or None and why there is none.

        Raises:
            UserError: the set's files are damaged.
        """
        called = "" if dataset is None else str(dataset).strip()
        name = CALLED.get(called, called)
        if name not in SETS:
            return None, f"unknown data set {called[:40]!r}"
        if name not in self._places:
            return None, f"{name} is not given"
        where = f"{name}/{split}"
        if split not in SETS[name].splits:
            return None, f"{name} has no split {str(split)[:40]!r}"
        asked = self._load(name, split)
        if asked is None:
            return None, f"{where} is not there"
        try:
            number = int(index)
        except (TypeError, ValueError):
            return None, f"{where}: index that is no number"
        if not 0 <= number < len(asked):
            return None, f"{where}: index beyond its {len(asked)} rows"
        if asked[number] is None:
            return None, f"{where}: row without a statement"
        return problem_id(name, split, number), ""

    def label(self, problem: str) -> str | None:
        """The difficulty that a question set states of a problem that `resolve` gave; None for none."""
        name, split, index = problem.split("/")
        asked = self._load(name, split)
        return asked[int(index)] or None if asked else None

    def problems(self, wanted: Wanted) -> Iterator[Problem]:
        """Yield the problems, of all sets and splits that are there, whose ids are wanted."""
        self.unusable.clear()
        for name in sorted(self._places):
            of = SETS[name]
            for split in of.splits:
                if paths := self._paths(name, split):
                    yield from question_sets.problems(of, split, paths, wanted, self.unusable)

    def _load(self, name: str, split: str) -> list[str | None] | None:
        """What `question_sets.stated` says of each row; None where the split is not there."""
        if (name, split) not in self._asked:
            paths = self._paths(name, split)
            rows = list(question_sets.stated(SETS[name], paths))
            self._asked[name, split] = rows if paths else None
        return self._asked[name, split]

    def _paths(self, name: str, split: str) -> list[Path]:
        where, place = f"{self._where}.{name}", self._places[name]
        if place.path is not None and Path(place.path).is_file():
            raise UserError(f"{where}: {place.path} is a file; expected the set's folder")
        return place.for_split(split).find(where, [split_patterns(split)], needed=False)
