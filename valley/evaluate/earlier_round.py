"""The earlier round: a generation that another goes on from, which takes over its samples as they are.

The later one's own samples are those of the further indices, with the seeds that they would have had
without rounds; the set that it leaves, and that is graded, is of all rounds so far.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from valley.errors import UserError
from valley.evaluate.answering import are_alike
from valley.evaluate.samples import Sample
from valley.evaluate.shards import OF_THE_FIRST, TOLD
from valley.job_file import read_job
from valley.records import read_records
from valley.store import Store


@dataclass(frozen=True)
class EarlierRound:
    """The generation of the round before, done."""

    folder: Path
    result: dict[str, Any]

    @classmethod
    def of(cls, folder: Path) -> EarlierRound:
        """As its folder tells it."""
        return cls(folder, json.loads((folder / "result.json").read_text(encoding="utf-8")))

    @property
    def samples(self) -> int:
        """Per problem, of all rounds up to it."""
        return int(self.result["config"]["profile"]["samples"])

    def followed_by(self, samples: Iterable[Sample], problem_ids: Iterable[str]) -> list[Sample]:
        """Its samples and those of the round after, by problem in the given order and then by index."""
        by_problem: dict[str, list[Sample]] = {problem_id: [] for problem_id in problem_ids}
        for sample in (*read_records(self.folder / "samples.jsonl", Sample), *samples):
            by_problem[sample.problem_id].append(sample)
        return [sample for group in by_problem.values() for sample in group]

    def check_student(self, names: dict[str, str]) -> None:
        """See that the same weights answer in both rounds; to be asked before they do.

        Raises:
            UserError: names what is to be removed.
        """
        before = self.result["outcome"]
        if not are_alike(before, names):
            raise UserError(self._refusal("other weights of this student"))

    def check_backend(self, outcome: dict[str, Any]) -> None:
        """See that the same backend answers in both rounds.

        Raises:
            UserError: names what differs, and what is to be removed.
        """
        before = self.result["outcome"]
        for name in TOLD:
            if name in before and before[name] != outcome[name]:
                what = f"another {name} ({before[name]} and {outcome[name]})"
                raise UserError(self._refusal(what))

    def _refusal(self, what: str) -> str:
        folders = ", ".join(map(str, self._all_folders()))
        return (
            f"{self.folder}: an earlier round of these samples was made by {what}, and one set is made in "
            f"one way; to have all rounds made anew remove {folders} and launch again"
        )

    def _all_folders(self) -> list[Path]:
        """Of all rounds up to it, and of their shards: one alone that is left would refuse again."""
        store, found = Store(self.folder.parents[2].parent), []
        folder: Path | None = self.folder
        while folder is not None:
            job = read_job(folder)
            shards = job.execution.get("shards", [])
            found += [folder, *(store.folder("generate", "", identity) for identity in shards)]
            folder = job.inputs.get("earlier")
        return [folder for folder in found if folder.exists()]

    def measured(self) -> dict[str, Any]:
        """What the first round has found out of the student, and further rounds do not ask again."""
        return {
            name: self.result["outcome"][name]
            for name in OF_THE_FIRST
            if name in self.result["outcome"]
        }

    def told(self) -> dict[str, Any]:
        """What a result says of the rounds before, for prices and speeds: only the rest is its own."""
        outcome, cost = self.result["outcome"], self.result["cost"]
        wall_s = cost["wall_s"] + outcome.get("earlier", {}).get("wall_s", 0.0)
        counts = {name: outcome[name] for name in ("samples", "completion_tokens")}
        return {**counts, "wall_s": round(wall_s, 3)}
