"""Settings of problem and trace sources that are made, or read as a whole.

A source has two sides. The evaluation side is the problems that students are asked; the pool is the
problems, traces and first lessons that they learn from. Each side says for itself what decides its
content (`evaluation_semantic`, `pool_semantic`), so that another evaluation set retrains nothing.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from valley.data.selection_config import CleanConfig, SelectConfig
from valley.errors import UserError

# A tiny student reads 512 tokens, and a step costs about 11 of them, stated and thought.
Length = Annotated[int, Field(ge=1, le=32)]


# What both sides of a tiny world rest on: a problem's difficulty is part of the problem.
_WORLD = {"source", "data_seed", "modulus", "held_out_fraction", "easy_lengths", "hard_lengths"}
# What only its evaluation problems rest on.
_ASKED = {"evaluation_problems", "evaluation_lengths"}


class Source(BaseModel):
    """What the settings of every source have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_seed: int = 0
    """Decides which traces a subset holds."""
    clean: CleanConfig = CleanConfig()
    """What leaves the pool before anything is drawn from it."""
    select: SelectConfig = SelectConfig()
    """How training sets are drawn from the pool."""

    @property
    def lessons(self) -> int:
        """Number of direct answers for a student's first lessons; a pretrained student needs none."""
        return 0

    @property
    def assumes_evaluation_size(self) -> bool:
        """Whether the number of evaluation problems is made up, since they are not there."""
        return False

    def execution(self) -> dict[str, Any]:
        """What the prepare jobs need beside their identity."""
        return {}

    def check(self) -> None:
        """Refuse settings that cannot be met, without reading or making any data."""

    def missing(self) -> list[str]:
        """What of the data is not there, a sentence each."""
        return []

    def for_a_dry_run(self) -> Self:
        """The same, but that what is missing gets a made-up identity instead of an error."""
        return self


class TinyConfig(Source):
    """A world of pipelines on an integer, small enough to train on a laptop; see `sources/tiny.py`."""

    source: Literal["tiny"] = "tiny"
    data_seed: int = 0
    """Decides every draw of the world; apart from the training and the sampling seeds."""
    modulus: int = Field(10, ge=2, le=10)
    """Results are taken modulo this number. At most 10, so that a coefficient is one digit."""
    evaluation_problems: int = Field(300, ge=1)
    evaluation_lengths: list[Length] = Field([2, 3, 4, 5, 6], min_length=1)
    """Evaluation problems are spread evenly over these pipeline lengths."""
    held_out_fraction: float = Field(0.2, gt=0, lt=1)
    """The fraction of all problems, by a hash of the statement, that no training set may use."""
    pool_traces: int = Field(8000, ge=1)
    """Teacher traces that subsets are drawn from; each for a problem drawn anew."""
    trace_lengths: list[Length] = Field([2, 3, 4, 5, 6], min_length=1)
    slip_rate: float = Field(0.1, ge=0, le=1)
    """The chance that the teacher slips once in a trace, in one step, and goes on from there."""
    easy_lengths: list[Length] = [2, 3]
    hard_lengths: list[Length] = [5, 6]
    """Lengths that are neither easy nor hard are medium."""
    direct_answers: int = Field(48000, ge=0)
    """Worked answers without a thought, which the untrained student first learns from."""
    direct_lengths: list[Length] = Field([1, 2, 3, 4], min_length=1)

    @model_validator(mode="after")
    def _easy_is_not_hard(self) -> TinyConfig:
        if both := sorted(set(self.easy_lengths) & set(self.hard_lengths)):
            raise ValueError(f"length {both[0]} is in both easy_lengths and hard_lengths")
        return self

    @property
    def label(self) -> str:
        """A folder's name for the prepared data."""
        return "tiny-world"

    @property
    def evaluation_size(self) -> int:
        """Number of evaluation problems."""
        return self.evaluation_problems

    @property
    def lessons(self) -> int:
        """Number of direct answers for a student's first lessons."""
        return self.direct_answers

    @property
    def slips(self) -> int:
        """How many traces of the pool slip."""
        return round(self.slip_rate * self.pool_traces)

    def evaluation_semantic(self) -> dict[str, Any]:
        """What decides the evaluation problems; for `sources.read_evaluation`."""
        return self.model_dump(mode="json", include=_WORLD | _ASKED)

    def pool_semantic(self) -> dict[str, Any]:
        """What decides problems, traces and first lessons; for `sources.read_pool`."""
        return self.model_dump(mode="json", exclude=_ASKED | {"clean", "select"})

    def pool_limit(self, difficulty: str, correctness: str) -> int | None:
        """Most traces that a stratum can hold, known before anything is graded."""
        lengths = self.trace_lengths
        chosen = {
            "easy": self.easy_lengths,
            "hard": self.hard_lengths,
            "medium": [n for n in lengths if n not in self.easy_lengths + self.hard_lengths],
        }.get(difficulty, lengths)
        limit = sum(lengths[i % len(lengths)] in chosen for i in range(self.pool_traces))
        if correctness == "incorrect":
            limit = min(limit, self.slips)
        return limit

    def check(self) -> None:
        """Refuse lengths of which too few distinct problems can be drawn, without drawing any.

        Raises:
            UserError: names the length, what there is and what is wanted.
        """
        from valley.data.sources.tiny import check_room

        check_room(self)


class PackagesConfig(Source):
    """Real problems and worked answers that Python packages carry; no hub is needed."""

    source: Literal["packages"]
    evaluation_limit: int | None = Field(None, ge=1)
    """The first so many HumanEval problems; null is all that can be graded by inputs and outputs."""

    @property
    def label(self) -> str:
        """A folder's name for the prepared data."""
        return "humaneval-leetui"

    @property
    def evaluation_size(self) -> int:
        """Number of evaluation problems: HumanEval's 164 but for one; see `sources/packages.py`."""
        return min(self.evaluation_limit or 163, 163)

    def evaluation_semantic(self) -> dict[str, Any]:
        """What decides the evaluation problems: the limit and the package's version."""
        from valley.data.sources.packages import EVALUATION_PACKAGE

        return {
            "source": self.source,
            "evaluation_limit": self.evaluation_limit,
            "version": self._version(EVALUATION_PACKAGE),
        }

    def pool_semantic(self) -> dict[str, Any]:
        """What decides problems and traces: the package's version."""
        from valley.data.sources.packages import POOL_PACKAGE

        return {"source": self.source, "version": self._version(POOL_PACKAGE)}

    def pool_limit(self, difficulty: str, correctness: str) -> int | None:
        """Most traces that a stratum can hold, known before anything is graded."""
        from valley.data.sources.packages import pool_size

        return pool_size(difficulty)

    def missing(self) -> list[str]:
        """The packages that are not there, or are of another release; a sentence each."""
        from valley.data.sources.packages import PACKAGES, version

        said = []
        for name in PACKAGES:
            try:
                version(name)
            except UserError as error:
                said.append(str(error))
        return said

    def for_a_dry_run(self) -> PackagesDryRun:
        """The same, but that a missing package gets a made-up identity instead of an error."""
        return PackagesDryRun(**dict(self))

    def _version(self, name: str) -> str:
        from valley.data.sources.packages import version

        return version(name)


class PackagesDryRun(PackagesConfig):
    """`PackagesConfig` where packages may be missing: for a dry run, which reads nothing of them."""

    def pool_limit(self, difficulty: str, correctness: str) -> int | None:
        """Most traces that a stratum can hold; None where that is not known."""
        return None if self.missing() else super().pool_limit(difficulty, correctness)

    def _version(self, name: str) -> str:
        return "missing" if self.missing() else super()._version(name)
