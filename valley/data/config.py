"""Settings of problem and trace sources."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from valley.errors import UserError
from valley.records import digest


class TinyConfig(BaseModel):
    """A world of pipelines on an integer, small enough to train on a laptop; see `sources/tiny.py`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Literal["tiny"] = "tiny"
    data_seed: int = 0
    """Decides every draw of the world; apart from the training and the sampling seeds."""
    modulus: int = Field(10, ge=2, le=10)
    """Results are taken modulo this number. At most 10, so that a coefficient is one digit."""
    evaluation_problems: int = Field(300, ge=1)
    evaluation_lengths: list[int] = [2, 3, 4, 5, 6]
    """Evaluation problems are spread evenly over these pipeline lengths."""
    held_out_fraction: float = Field(0.2, gt=0, lt=1)
    """The fraction of all problems, by a hash of the statement, that no training set may use."""
    pool_traces: int = Field(8000, ge=1)
    """Teacher traces that subsets are drawn from; each for a problem drawn anew."""
    trace_lengths: list[int] = [2, 3, 4, 5, 6]
    slip_rate: float = Field(0.1, ge=0, le=1)
    """The chance that the teacher slips once in a trace, in one step, and goes on from there."""
    easy_lengths: list[int] = [2, 3]
    hard_lengths: list[int] = [5, 6]
    direct_answers: int = Field(48000, ge=0)
    """Worked answers without a thought, which the untrained student first learns from."""
    direct_lengths: list[int] = [1, 2, 3, 4]

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

    def semantic(self) -> dict[str, Any]:
        """What a job's identity hashes."""
        return self.model_dump(mode="json")

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

    def execution(self) -> dict[str, Any]:
        """What the prepare job needs beside its identity."""
        return {}

    @property
    def slips(self) -> int:
        """How many traces of the pool slip."""
        return round(self.slip_rate * self.pool_traces)


class PackagesConfig(BaseModel):
    """Real problems and worked answers that Python packages carry; no hub is needed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Literal["packages"]
    data_seed: int = 0
    """Decides which traces a subset holds."""
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

    @property
    def lessons(self) -> int:
        """There are none: the students are pretrained."""
        return 0

    def semantic(self) -> dict[str, Any]:
        """What a job's identity hashes: the settings and the packages' versions."""
        from valley.data.sources.packages import versions

        return {**self.model_dump(mode="json"), "versions": versions()}

    def execution(self) -> dict[str, Any]:
        """What the prepare job needs beside its identity."""
        return {}

    def pool_limit(self, difficulty: str, correctness: str) -> int | None:
        """Most traces that a stratum can hold, known before anything is graded."""
        from valley.data.sources.packages import pool_size

        return pool_size(difficulty)


class JsonlConfig(BaseModel):
    """Problems and traces in files of this project's own formats."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Literal["jsonl"]
    data_seed: int = 0
    """Decides which traces a subset holds."""
    evaluation: str
    """A file of `valley.problem/1` records that students are evaluated on."""
    problems: str
    """A file of `valley.problem/1` records that the traces answer."""
    traces: str
    """A file of `valley.trace/1` records. Where `correct` is null, the grader decides it."""

    @property
    def label(self) -> str:
        """A folder's name for the prepared data."""
        return "".join(c if c.isalnum() else "_" for c in Path(self.traces).stem)

    @property
    def evaluation_size(self) -> int:
        """Number of evaluation problems: the file's lines."""
        return self._lines("evaluation")

    @property
    def lessons(self) -> int:
        """There are none: the students are pretrained."""
        return 0

    def semantic(self) -> dict[str, Any]:
        """What a job's identity hashes: the contents of the files, not their paths.

        Raises:
            UserError: a file is missing.
        """
        contents = {name: digest(self._text(name)) for name in ("evaluation", "problems", "traces")}
        return {"source": self.source, "data_seed": self.data_seed, "files": contents}

    def execution(self) -> dict[str, Any]:
        """What the prepare job needs beside its identity: where the files lie."""
        names = ("evaluation", "problems", "traces")
        return {name: str(Path(getattr(self, name)).expanduser().resolve()) for name in names}

    def pool_limit(self, difficulty: str, correctness: str) -> int | None:
        """The number of traces in the file."""
        return self._lines("traces")

    def _text(self, name: str) -> str:
        path = Path(getattr(self, name)).expanduser()
        try:
            return path.read_text(encoding="utf-8")
        except OSError as error:
            raise UserError(f"data.{name}: {path} cannot be read ({error.strerror})") from error

    def _lines(self, name: str) -> int:
        return sum(1 for line in self._text(name).splitlines() if line.strip())


DataConfig = Annotated[TinyConfig | PackagesConfig | JsonlConfig, Field(discriminator="source")]
