"""Settings of `source: corpus`: real data sets, one to be asked and one to be learnt from."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from valley.data.selection_config import CorrectnessConfig, DifficultyConfig
from valley.data.sources.config import Source
from valley.data.sources.evaluation_config import EvaluationPart
from valley.data.sources.pool_config import PoolPart
from valley.errors import UserError


class CorpusConfig(Source):
    """Real data sets: what students are evaluated on, and what they learn from."""

    source: Literal["corpus"]
    evaluation: EvaluationPart
    pool: PoolPart
    difficulty: DifficultyConfig = DifficultyConfig()
    """What makes a trace easy, medium or hard."""
    correctness: CorrectnessConfig = CorrectnessConfig()
    """What makes a trace correct or incorrect."""
    keep: int | None = Field(100_000, ge=1)
    """Of each arm, so many traces' texts are kept, those of lowest rank; null keeps all. What is not kept
    is counted and cannot be drawn, and the grader says nothing of it."""

    @property
    def label(self) -> str:
        """A folder's name for the prepared data."""
        said = f"{self.evaluation.label}-{self.pool.label}"
        return "".join(c if c.isalnum() or c == "-" else "_" for c in said)

    @property
    def evaluation_size(self) -> int:
        """Number of evaluation problems, or about that many; `prepare` tells the exact one."""
        return self.evaluation.size

    def evaluation_semantic(self) -> dict[str, Any]:
        """What decides the evaluation problems: settings, and revisions or digests.

        Raises:
            UserError: a file is missing, damaged or of another revision.
        """
        return {"source": self.source, "evaluation": self.evaluation.semantic()}

    def pool_semantic(self) -> dict[str, Any]:
        """What decides problems and traces: settings, and revisions or digests.

        Raises:
            UserError: a file is missing, damaged or of another revision.
        """
        return {"source": self.source, "pool": self.pool.semantic(), **self._labelled()}

    def _labelled(self) -> dict[str, Any]:
        """What decides the traces' labels, and whose texts are kept: the seed has a say in the latter."""
        names = {"difficulty", "correctness", "keep"} | ({"data_seed"} if self.keep else set())
        return self.model_dump(mode="json", include=names)

    def execution(self) -> dict[str, Any]:
        """What the prepare jobs need beside their identity: where the files lie."""
        return {"corpus": self.model_dump(mode="json", include={"source", "evaluation", "pool"})}

    def pool_limit(self, difficulty: str, correctness: str) -> int | None:
        """Most traces that an arm can hold; None where only reading them would tell."""
        if self.pool.source == "jsonl":
            level = difficulty if self.difficulty.by == "label" else "all"
            return self.pool.at_most(level, correctness)
        if self.pool.source == "opencodereasoning2" and self.pool.path is not None:
            from valley.data.sources.stated import at_most

            arm = (difficulty, correctness)
            return at_most(self.pool.paths(), self.difficulty, self.correctness, arm)
        return self.pool.rows()

    def check(self) -> None:
        """Refuse rules that the pool's source gives nothing to go by.

        Raises:
            UserError: names the settings.
        """
        pool = self.pool
        for name, by in (("difficulty", self.difficulty.by), ("correctness", self.correctness.by)):
            if by in ("pass_rate", "judgement") and pool.source != "opencodereasoning2":
                raise UserError(
                    f"data.{name}.by: {by} found, and data.pool.source {pool.source} states none; only "
                    "opencodereasoning2 does: set by to another"
                )
        if pool.source == "paper" and pool.difficulty is not None and self.difficulty.semantic():
            raise UserError(
                f"data.difficulty has no effect with data.pool.difficulty: {pool.difficulty}, which is said "
                "of all traces; leave one out"
            )
        cpp = pool.source == "opencodereasoning2" and pool.split == "cpp"
        if cpp and self.correctness.by == "grader":
            raise UserError(
                "data.correctness.by: grader found, and data.pool.split is cpp; the grader runs Python only: "
                "set by to pass_rate, judgement or none"
            )

    def missing(self) -> list[str]:
        """What is not there, a sentence each."""
        return self.evaluation.missing() + self.pool.missing()

    def for_a_dry_run(self) -> CorpusDryRun:
        """The same, but that what is missing gets a made-up identity instead of an error."""
        return CorpusDryRun(**dict(self))


class CorpusDryRun(CorpusConfig):
    """`CorpusConfig` whose files may be missing: for a dry run, which reads nothing of them."""

    ASSUMED_PROBLEMS: ClassVar[int] = 300
    """Problems that a missing file is taken to have, for the preview."""

    @property
    def assumes_evaluation_size(self) -> bool:
        """Whether the evaluation problems are missing, and no settings say how many there are."""
        return not self.evaluation.is_size_exact and bool(self.evaluation.missing())

    @property
    def evaluation_size(self) -> int:
        """Number of evaluation problems, or what is assumed of it."""
        if self.evaluation.source == "jsonl" and self.evaluation.missing():
            return self.ASSUMED_PROBLEMS
        return super().evaluation_size

    def evaluation_semantic(self) -> dict[str, Any]:
        """What decides the evaluation problems, or stands for it."""
        if self.evaluation.missing():
            return {"missing": True, **self.execution()["corpus"]["evaluation"]}
        return super().evaluation_semantic()

    def pool_semantic(self) -> dict[str, Any]:
        """What decides problems and traces, or stands for it."""
        if self.pool.missing():
            return {"missing": True, **self.execution()["corpus"]["pool"], **self._labelled()}
        return super().pool_semantic()

    def pool_limit(self, difficulty: str, correctness: str) -> int | None:
        """Most traces that any stratum can hold; None where that is not known."""
        return None if self.pool.missing() else super().pool_limit(difficulty, correctness)
