"""Settings of `source: jsonl`: problems and traces in files of this project's own formats."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import field_validator

from valley.data.sources.config import Source


class JsonlConfig(Source):
    """Problems and traces in files of this project's own formats."""

    source: Literal["jsonl"]
    evaluation: str
    """A file of `valley.problem/1` records that students are evaluated on."""
    problems: str
    """A file of `valley.problem/1` records that the traces answer."""
    traces: str
    """A file of `valley.trace/1` records. Where `correct` is null, the grader decides it."""

    @field_validator("evaluation", "problems", "traces")
    @classmethod
    def _absolute(cls, path: str) -> str:
        # Jobs start in other folders than the launcher.
        return str(Path(os.path.expanduser(path)).resolve())

    @property
    def label(self) -> str:
        """A folder's name for the prepared data."""
        return "".join(c if c.isalnum() else "_" for c in Path(self.traces).stem)

    @property
    def evaluation_size(self) -> int:
        """Number of evaluation problems: the file's lines."""
        return self._file("evaluation").records

    def evaluation_semantic(self) -> dict[str, Any]:
        """What decides the evaluation problems: the content of their file, not its path.

        Raises:
            UserError: the file is missing, empty, or none of problems.
        """
        return {"source": self.source, "evaluation": self._file("evaluation").sha256}

    def pool_semantic(self) -> dict[str, Any]:
        """What decides problems and traces: the content of their files, not their paths.

        Raises:
            UserError: a file is missing, empty, or of another kind.
        """
        names = ("problems", "traces")
        return {"source": self.source, **{name: self._file(name).sha256 for name in names}}

    def execution(self) -> dict[str, Any]:
        """What the prepare jobs need beside their identity: where the files lie."""
        return {name: getattr(self, name) for name in ("evaluation", "problems", "traces")}

    def pool_limit(self, difficulty: str, correctness: str) -> int | None:
        """The most traces of the file that are in an arm, once those of unknown correctness are graded."""
        most: int = self._file("traces").at_most(difficulty, correctness)
        return most

    def missing(self) -> list[str]:
        """The files that are not there, a sentence each."""
        return [f"{path} is missing" for path in self.execution().values() if not _is_there(path)]

    def for_a_dry_run(self) -> JsonlDryRun:
        """The same, but that a missing file gets a made-up identity instead of an error."""
        return JsonlDryRun(**dict(self))

    def _file(self, name: str) -> Any:
        from valley.data.sources import jsonl

        return jsonl.look(name, Path(getattr(self, name)))


class JsonlDryRun(JsonlConfig):
    """`JsonlConfig` whose files may be missing: for a dry run, which reads nothing of them."""

    ASSUMED_RECORDS: ClassVar[int] = 300
    """Lines that a missing file is taken to have, for the preview."""

    @property
    def assumes_evaluation_size(self) -> bool:
        """Whether the evaluation problems' file is missing."""
        return not _is_there(self.evaluation)

    def pool_limit(self, difficulty: str, correctness: str) -> int | None:
        """The number of traces in the file; None where that is not known."""
        return super().pool_limit(difficulty, correctness) if _is_there(self.traces) else None

    def _file(self, name: str) -> Any:
        from valley.data.sources import jsonl

        path = getattr(self, name)
        if _is_there(path):
            return super()._file(name)
        return jsonl.Content(f"missing: {path}", self.ASSUMED_RECORDS)


def _is_there(path: str) -> bool:
    return os.path.exists(path)
