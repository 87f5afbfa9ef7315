"""Rounds: a generation that goes on from an earlier round's samples, which it takes over as they are.

Its own samples are those of the further indices, with the seeds that they would have had without rounds;
the set that it leaves, and that is graded, is of all rounds so far.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from valley.errors import UserError
from valley.evaluate.samples import Sample
from valley.evaluate.shards import OF_THE_FIRST
from valley.records import read_records


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

    def check(self, outcome: dict[str, Any]) -> None:
        """See that the same weights and the same backend answer in both rounds.

        Raises:
            UserError: names what differs, and what to remove.
        """
        before = self.result["outcome"]
        for name in ("student", "backend", "backend_version"):
            # Results of a version before rounds do not tell their student.
            if name in before and before[name] != outcome[name]:
                raise UserError(
                    f"{self.folder}: an earlier round of these samples was made by another {name} "
                    f"({before[name]} and {outcome[name]}), and one set is made in one way; remove this folder "
                    "and launch again"
                )

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
