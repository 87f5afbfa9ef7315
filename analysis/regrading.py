"""Regrading: a cell's kept answers scored once more under other rules, without a GPU.

What can be other: how programs are run and compared (`grade` settings), the token cap, and whether flagged
problems count. The original verdicts are used again where a program stays the same. An answer longer than
the cap is cut there, by `cutting.py`, and its program found anew. Where no tokenizer is at hand it counts as
not passed, which is a lower bound; those that had passed are counted, and the upper bound lets them pass.

    <sweep>/regraded/<digest of the rules>/rules.json, <identity16>.json, .samples.jsonl, .verdicts.jsonl

The original results are never touched. A file is written when its cell is done, so that a start that was
broken off goes on; it says what it was made from, and is made again where that has changed, or where texts
could not be cut: what they lacked may be there now.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from cutting import CannotCutError, shortened
from results import Counts, Results, counts_of

from valley.data.flags import flags_of
from valley.data.problem_file import ProblemFile
from valley.data.problems import Problem
from valley.data.render import THINK_OPEN
from valley.errors import UserError
from valley.evaluate.config import GradeConfig
from valley.evaluate.grade import programs_of
from valley.evaluate.grading import grade_files
from valley.evaluate.per_problem import pack
from valley.evaluate.samples import Sample, Verdict
from valley.evaluate.score import score
from valley.records import digest, read_records, write_json, write_records

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
    """A cell under other rules.

    `cut` of its samples are longer than the cap; of these `cut_passed` had passed, and `cut_pass` do now.
    """

    counts: Counts
    metrics: dict[str, Any]
    samples: int
    cut: int
    cut_passed: int
    cut_pass: int
    other_lengths: int
    """How many of those cut have other tokens, made again from their text, than were generated."""
    not_cut_since: str
    """Why texts could not be cut, so that the score is a lower bound; empty where they were."""


NUMBERS = ("samples", "cut", "cut_passed", "cut_pass", "other_lengths", "not_cut_since")
"""What is kept beside the outcome."""


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
            *(kept[name] for name in NUMBERS),
        )

    def _made(
        self, places: Mapping[str, str], original: dict[str, Any], workers: int
    ) -> dict[str, Any]:
        grade = self._store / places["grade"]
        inputs = original.get("inputs") or _inputs(grade / "job.json")
        samples_path = self._store / inputs["samples"] / "samples.jsonl"
        problems_path = self._store / inputs["evaluation"] / "evaluation.jsonl"
        config = GradeConfig.model_validate({**original.get("config", {}), **self._rules.settings})
        problems = list(ProblemFile(problems_path).values())
        samples = read_records(samples_path, Sample)
        cap = self._rules.max_tokens
        cut = [cap is not None and s.completion_tokens > cap for s in samples]
        answers, other_lengths, not_cut_since = samples, 0, ""
        if cap is not None and any(cut):
            try:
                shorter = shortened(samples_path.parent, problems, samples, cap)
                answers, other_lengths = shorter.samples, shorter.other_lengths
            except CannotCutError as error:
                not_cut_since = str(error)
        known = {problem.id: problem for problem in problems}
        programs = [programs_of(known, some, config) for some in (samples, answers)]
        again = [
            i
            for i, (was, now) in enumerate(zip(*programs, strict=True))
            if self._rules.run_again or was != now
        ]
        # Answers that were cut are held against what they were, even where all are run again.
        before = verdicts = (
            read_records(grade / "verdicts.jsonl", Verdict)
            if any(cut) or len(again) < len(samples)
            else []
        )
        if again:
            identity = grade.name.rpartition("-")[2]
            made = self._run(identity, problems_path, [answers[i] for i in again], config, workers)
            by_place = dict(zip(again, made, strict=True))
            verdicts = [by_place.get(i) or before[i] for i in range(len(samples))]
        counted = list(zip(answers, verdicts, strict=True))
        if not_cut_since:
            counted = list(_capped(samples, verdicts, cut, cap or 0))
        had_passed = [verdict.status == "passed" for verdict in before or verdicts]
        outcome, numbers = self._scored(problems, counted, cut, had_passed, config)
        return {
            "outcome": pack(outcome),
            **numbers,
            "other_lengths": other_lengths,
            "not_cut_since": not_cut_since,
        }

    def _scored(
        self,
        problems: list[Problem],
        counted: list[tuple[Sample, Verdict]],
        cut: list[bool],
        had_passed: list[bool],
        config: GradeConfig,
    ) -> tuple[dict[str, Any], dict[str, int]]:
        """The score over the problems that count, and what became of the answers cut among them."""
        trusted = {p.id for p in problems if not (self._rules.without_flagged and flags_of(p))}
        if not trusted:
            raise UserError("every problem is flagged, so none is left")
        kept = [i for i, (sample, _) in enumerate(counted) if sample.problem_id in trusted]
        outcome = score(
            [problem for problem in problems if problem.id in trusted],
            [counted[i][0] for i in kept],
            [counted[i][1] for i in kept],
            config.k,
        )
        shorter = [i for i in kept if cut[i]]
        return outcome, {
            "samples": len(kept),
            "cut": len(shorter),
            "cut_passed": sum(had_passed[i] for i in shorter),
            "cut_pass": sum(counted[i][1].status == "passed" for i in shorter),
        }

    def _run(
        self,
        identity: str,
        problems: Path,
        answers: list[Sample],
        config: GradeConfig,
        workers: int,
    ) -> list[Verdict]:
        """Run the programs of some answers.

        Raises:
            UserError: the grader failed at one.
        """
        samples = self.folder / f"{identity}.samples.jsonl"
        write_records(samples, answers)
        out = self.folder / f"{identity}.verdicts.jsonl"
        graded = grade_files(problems, samples, out, config, workers=workers, restart=True)
        if broken := sum(v.status == "infrastructure_error" for v in graded.verdicts):
            raise UserError(
                f"{out}: the grader could not run {broken} of {len(graded.verdicts)} programs; "
                "the same command tries them again"
            )
        return graded.verdicts


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
    """What an earlier start kept, where it is whole, of the same original and not a mere lower bound."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if value["schema"] != SCHEMA or value["source"] != source:
            return None
        counts_of(value["outcome"])
        [value[name] for name in NUMBERS], value["outcome"]["metrics"]
        if value["not_cut_since"]:
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return dict(value)
