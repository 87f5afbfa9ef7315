"""Regrading: a cell's kept answers scored once more under other rules, without a GPU.

What can be other: how programs are run and compared (`grade` settings), the token cap, and whether flagged
problems count. The original verdicts are used again where only the latter two change. An answer longer than
the cap would have been cut there. What of it had been written by then is not known without the student's
tokenizer, so it counts as not passed, which is a lower bound; those that had passed are counted, and the
upper bound lets them pass.

    <sweep>/regraded/<digest of the rules>/rules.json, <identity16>.json, <identity16>.verdicts.jsonl

The original results are never touched. A file is written when its cell is done, so that a start that was
broken off goes on; it says what it was made from, and is made again where that has changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from results import Counts, Results, counts_of

from valley.data.flags import flags_of
from valley.data.problem_file import ProblemFile
from valley.data.render import THINK_OPEN
from valley.errors import UserError
from valley.evaluate.config import GradeConfig
from valley.evaluate.grading import grade_files
from valley.evaluate.per_problem import pack
from valley.evaluate.samples import Sample, Verdict
from valley.evaluate.score import score
from valley.records import digest, read_records, write_json

SCHEMA = "valley.regraded/1"


@dataclass(frozen=True)
class Rules:
    """What is other than in the original grading."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of `GradeConfig`."""
    run_again: bool = False
    """Whether programs are run again; else the original verdicts count."""
    max_tokens: int | None = None
    without_flagged: bool = False

    @property
    def name(self) -> str:
        """The folder of what is graded by these rules."""
        return digest(asdict(self))[:16]

    def __str__(self) -> str:
        parts = [f"{name} {value}" for name, value in self.settings.items()]
        if self.run_again and not parts:
            parts.append("run again by the same rules")
        if self.max_tokens is not None:
            parts.append(f"at most {self.max_tokens:,} tokens")
        if self.without_flagged:
            parts.append("without flagged problems")
        return ", ".join(parts)


@dataclass(frozen=True)
class Regraded:
    """A cell under other rules. `cut_passed` of its samples passed, and are longer than the cap."""

    counts: Counts
    metrics: dict[str, Any]
    samples: int
    cut: int
    cut_passed: int


class Regrader:
    """Grades cells by other rules, and keeps what came of it."""

    def __init__(self, sweep: Path, store: Path, reader: Results, rules: Rules) -> None:
        """Make the folder that the rules' results are kept in."""
        self.folder = sweep / "regraded" / rules.name
        self._store = store
        self._reader = reader
        self._rules = rules
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / "rules.json", {"schema": SCHEMA, **asdict(rules)})

    def regrade(self, places: Mapping[str, str], workers: int = 1) -> Regraded:
        """One cell's counts by the rules, kept from earlier or made now.

        Args:
            places: the folders of its jobs, by kind.

        Raises:
            UserError: its samples, verdicts or problems are not there, or do not belong together.
        """
        original = self._reader.result(places["grade"])
        if original is None:
            raise UserError(f"{places['grade']}: no result; only what is graded can be regraded")
        source = digest(original["outcome"])
        path = self.folder / f"{places['grade'].rpartition('-')[2]}.json"
        kept = _kept(path, source)
        if kept is None:
            kept = {"schema": SCHEMA, "source": source, **self._made(places, original, workers)}
            write_json(path, kept)
        return Regraded(
            counts_of(kept["outcome"]),
            kept["outcome"]["metrics"],
            *(kept[name] for name in ("samples", "cut", "cut_passed")),
        )

    def _made(
        self, places: Mapping[str, str], original: dict[str, Any], workers: int
    ) -> dict[str, Any]:
        grade = self._store / places["grade"]
        inputs = original.get("inputs") or _inputs(grade / "job.json")
        samples_path = self._store / inputs["samples"] / "samples.jsonl"
        problems_path = self._store / inputs["evaluation"] / "evaluation.jsonl"
        config = GradeConfig.model_validate({**original.get("config", {}), **self._rules.settings})
        if self._rules.run_again:
            out = self.folder / f"{grade.name.rpartition('-')[2]}.verdicts.jsonl"
            graded = grade_files(
                problems_path, samples_path, out, config, workers=workers, restart=True
            )
            verdicts = graded.verdicts
            if broken := sum(v.status == "infrastructure_error" for v in verdicts):
                raise UserError(
                    f"{out}: the grader could not run {broken} of {len(verdicts)} programs; "
                    "the same command tries them again"
                )
        else:
            verdicts = read_records(grade / "verdicts.jsonl", Verdict)
        samples = read_records(samples_path, Sample)
        problems = list(ProblemFile(problems_path).values())
        if self._rules.without_flagged:
            trusted = {p.id for p in problems if not flags_of(p)}
            if not trusted:
                raise UserError(f"{problems_path}: every problem is flagged, so none is left")
            problems = [p for p in problems if p.id in trusted]
            samples = [s for s in samples if s.problem_id in trusted]
            verdicts = [v for v in verdicts if v.problem_id in trusted]
        cap = self._rules.max_tokens
        cut = [cap is not None and s.completion_tokens > cap for s in samples]
        counted = list(_capped(samples, verdicts, cut, cap or 0))
        outcome = score(
            problems, [sample for sample, _ in counted], [v for _, v in counted], config.k
        )
        return {
            "outcome": pack(outcome),
            "samples": len(samples),
            "cut": sum(cut),
            "cut_passed": sum(
                is_cut and verdict.status == "passed"
                for is_cut, verdict in zip(cut, verdicts, strict=True)
            ),
        }


def _capped(
    samples: Sequence[Sample], verdicts: Sequence[Verdict], cut: Sequence[bool], cap: int
) -> Iterator[tuple[Sample, Verdict]]:
    """Answers as the cap leaves them: one that is cut has no program, and no thought that closed."""
    for sample, verdict, is_cut in zip(samples, verdicts, cut, strict=True):
        if not is_cut:
            yield sample, verdict
            continue
        text = THINK_OPEN if THINK_OPEN in sample.text else ""
        yield (
            replace(sample, text=text, finish_reason="length", completion_tokens=cap),
            replace(
                verdict,
                status="no_code",
                first_failing_test=None,
                passed_tests=0,
                note=f"longer than {cap} tokens",
            ),
        )


def _inputs(job: Path) -> dict[str, str]:
    """The inputs' folders of a result that does not name them: they are in its job's file."""
    try:
        value = json.loads(job.read_text(encoding="utf-8"))
        return {role: place["folder"] for role, place in value["inputs"].items()}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{job}: does not say what was graded ({error})") from error


def _kept(path: Path, source: str) -> dict[str, Any] | None:
    """What an earlier start kept, where it is whole and of the same original."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if value["schema"] != SCHEMA or value["source"] != source:
            return None
        counts_of(value["outcome"])
        value["samples"], value["cut"], value["cut_passed"], value["outcome"]["metrics"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return dict(value)
