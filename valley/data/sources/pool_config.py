"""Settings of the pools that `source: corpus` can teach from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from valley.data.candidates import Reader
from valley.data.sources.part import FromPlace, Part, absolute, file_digest, not_there
from valley.data.sources.place import Place, split_patterns

if TYPE_CHECKING:
    from valley.data.sources.questions import Questions

POOL = "data.pool"
LOOKED_INTO_BYTES = 256 << 20
"""A file of traces up to this is read by planning, for the counts of its arms."""


class QuestionPlaces(Part):
    """Where the data sets lie that questions are looked up in; rows of those not given are counted."""

    taco: Place | None = None
    """BAAI/TACO."""
    apps: Place | None = None
    """codeparrot/apps."""
    code_contests: Place | None = None
    """deepmind/code_contests."""
    codeforces: Place | None = None
    """open-r1/codeforces."""

    def given(self) -> dict[str, Place]:
        """Those that are given."""
        return {name: place for name in type(self).model_fields if (place := getattr(self, name))}


class _OpenCodeReasoning(FromPlace):
    WHERE: ClassVar[str] = POOL
    questions: QuestionPlaces = QuestionPlaces()

    def missing(self) -> list[str]:
        """What is not there, question sets included."""
        places = self.questions.given().values()
        return super().missing() + [fault for place in places for fault in place.missing()]

    def semantic(self) -> dict[str, Any]:
        """What decides traces and questions."""
        return {**self.decided_by("questions"), "questions": self.looked_up().identity()}

    def read_from(self) -> dict[str, Any]:
        """Where the traces and the questions are from."""
        questions = self.looked_up().identity()
        for name, place in self.questions.given().items():
            if place.revision is not None:
                questions[name]["revision"] = place.revision
        return {**super().read_from(), "questions": questions}

    def looked_up(self) -> Questions:
        """The questions."""
        from valley.data.sources.questions import Questions

        return Questions(f"{POOL}.questions", self.questions.given())


class OpenCodeReasoning2Pool(_OpenCodeReasoning):
    """nvidia/OpenCodeReasoning-2; see `sources/open_code_reasoning.py`."""

    source: Literal["opencodereasoning2"]
    split: Literal["python", "cpp"] = "python"

    @model_validator(mode="after")
    def _has_questions(self) -> Self:
        if not self.questions.given():
            names = ", ".join(QuestionPlaces.model_fields)
            raise ValueError(
                "questions: none given, and this data set repeats none of its questions; give the places "
                f"of the data sets that they are looked up in, one or more of {names}"
            )
        return self

    @property
    def label(self) -> str:
        """A name for it."""
        return f"ocr2-{self.split}"

    def groups(self) -> list[list[str]]:
        """The language's files: as they were renamed in May 2025, and as they were before."""
        published = [f"train/{self.split}/*.parquet", f"{self.split}/train/*.parquet"]
        return [[*published, *split_patterns(self.split)]]

    def open(self) -> Reader:
        """Its reader."""
        from valley.data.sources.open_code_reasoning import OpenCodeReasoning2

        return OpenCodeReasoning2(self.paths(), self.looked_up())


class OpenCodeReasoningPool(_OpenCodeReasoning):
    """nvidia/OpenCodeReasoning; see `sources/open_code_reasoning.py`."""

    source: Literal["opencodereasoning"]
    splits: list[Literal["split_0", "split_1"]] = Field(["split_0", "split_1"], min_length=1)

    @field_validator("splits")
    @classmethod
    def _once(cls, splits: list[str]) -> list[str]:
        if twice := [split for split in splits if splits.count(split) > 1]:
            raise ValueError(f"{twice[0]} stands there twice; leave one out")
        return splits

    @property
    def label(self) -> str:
        """A name for it."""
        return "ocr"

    def groups(self) -> list[list[str]]:
        """The files of each split."""
        return [split_patterns(split) for split in sorted(set(self.splits))]

    def open(self) -> Reader:
        """Its reader."""
        from valley.data.sources.open_code_reasoning import OpenCodeReasoning

        return OpenCodeReasoning(self.paths(), self.looked_up())


class TacoTraces(FromPlace):
    """Traces on problems of TACO; see `sources/taco.py`."""

    WHERE: ClassVar[str] = POOL
    source: Literal["taco"]
    split: Literal["train", "test"] = "train"
    traces: str | None = None
    """A file of `valley.trace/1` records whose `problem_id` is such as taco/train/123; null takes the
    solutions that people wrote, without a thought."""
    solutions_per_problem: int = Field(1, ge=1)
    """Of those solutions, the first so many."""

    _paths = field_validator("traces")(absolute)

    @model_validator(mode="after")
    def _has_effect(self) -> Self:
        if self.traces is not None and self.solutions_per_problem != 1:
            raise ValueError(
                f"solutions_per_problem {self.solutions_per_problem} has no effect where `traces` are given; "
                "leave it out, or the traces"
            )
        return self

    @property
    def label(self) -> str:
        """A name for it."""
        return f"taco-{self.split}"

    def missing(self) -> list[str]:
        """What is not there."""
        return super().missing() + not_there(self.traces)

    def groups(self) -> list[list[str]]:
        """The split's files."""
        return [split_patterns(self.split)]

    def rows(self) -> int | None:
        """An upper bound of the number of traces; None where they are in a file of their own."""
        found = super().rows() if self.traces is None else None
        return found and found * self.solutions_per_problem

    def semantic(self) -> dict[str, Any]:
        """What decides problems and traces."""
        if self.traces is None:
            return self.decided_by("traces")
        said = self.decided_by("traces", "solutions_per_problem")
        return {**said, "traces": file_digest(f"{POOL}.traces", self.traces)}

    def open(self) -> Reader:
        """Its reader."""
        from valley.data.sources.taco import TacoPool

        traces = None if self.traces is None else Path(self.traces)
        return TacoPool(self.paths(), self.split, traces, self.solutions_per_problem)


class JsonlPool(Part):
    """Files of `valley.problem/1` and `valley.trace/1` records."""

    source: Literal["jsonl"]
    problems: str
    traces: str

    _paths = field_validator("problems", "traces")(absolute)

    @property
    def label(self) -> str:
        """A name for it."""
        return Path(self.traces).stem

    def missing(self) -> list[str]:
        """The files that are not there."""
        return not_there(self.problems, self.traces)

    def rows(self) -> int | None:
        """The number of traces is known by reading them alone."""
        return None

    def at_most(self, difficulty: str, correctness: str) -> int | None:
        """The most traces that an arm can hold, its difficulty being by label; None of a large file."""
        from valley.data.sources import jsonl

        path = Path(self.traces)
        if path.exists() and path.stat().st_size > LOOKED_INTO_BYTES:
            return None
        return jsonl.look("pool.traces", path).at_most(difficulty, correctness, settled=False)

    def semantic(self) -> dict[str, Any]:
        """The files' digests."""
        return {"source": self.source, **self.read_from()}

    def read_from(self) -> dict[str, Any]:
        """The files' digests."""
        return {
            name: file_digest(f"{POOL}.{name}", getattr(self, name))
            for name in ("problems", "traces")
        }

    def open(self) -> Reader:
        """Its reader."""
        from valley.data.sources.own import OwnPool

        return OwnPool(Path(self.problems), Path(self.traces))


class PaperPool(FromPlace):
    """A training set as it was released, such as the paper's; see `sources/released.py`."""

    WHERE: ClassVar[str] = POOL
    source: Literal["paper"]
    split: str = "train"
    question: str | None = None
    """The column of the question; null looks for a chat, then for the usual names."""
    response: str | None = None
    label_column: str | None = None
    """The column of a difficulty label."""
    difficulty: Literal["easy", "medium", "hard"] | None = None
    """What all of its traces are, where the file is the paper's easy or hard set."""
    correct: bool | None = None
    """What all of its traces are, where the file is the paper's correct or incorrect set."""
    teacher: str = ""

    @property
    def label(self) -> str:
        """A name for it."""
        return f"paper-{self.split}"

    def groups(self) -> list[list[str]]:
        """The split's files."""
        return [split_patterns(self.split)]

    def open(self) -> Reader:
        """Its reader."""
        from valley.data.sources.released import Released, Stated

        stated = Stated(self.difficulty, self.correct, self.teacher)
        return Released(POOL, self.paths(), self.question, self.response, self.label_column, stated)


PoolPart = Annotated[
    OpenCodeReasoning2Pool | OpenCodeReasoningPool | TacoTraces | JsonlPool | PaperPool,
    Field(discriminator="source"),
]
