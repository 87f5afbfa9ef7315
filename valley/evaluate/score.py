"""The figures of one cell: pass@k and the rates that tell a valley from an artefact."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from valley.data.problems import Problem, problem_set_digest
from valley.errors import UserError
from valley.evaluate.extract import Extraction, extract
from valley.evaluate.samples import Sample, Verdict
from valley.statistics import pass_at_k


def score(
    problems: Sequence[Problem],
    samples: Sequence[Sample],
    verdicts: Sequence[Verdict],
    k: Iterable[int] = (1,),
) -> dict[str, Any]:
    """Score samples by their verdicts, which are in the same order.

    Every problem must have the same number of samples: the plan fixes the denominator, and a sample
    that is missing is a fault and not a smaller denominator. Infrastructure errors stay in it, as
    not passed, and are shown apart.

    `metrics`; a rate is over all samples, and "contains" includes what was prefilled:

    - `pass@k`: unbiased, 1 − C(n−c, k) / C(n, k), mean over problems (Chen et al. 2021, "Evaluating
      Large Language Models Trained on Code"). `pass@1` is always there.
    - `samples`, `problems`, `infrastructure_errors`: counts.
    - `completion_rate`: the answer ended by itself and not at the token limit.
    - `think_opened_rate`, `think_closed_rate`: the answer contains `<think>`, `</think>`.
    - `extracted_rate`: a program was found (see `extract`).
    - `parsed_rate`: that program compiles. The sandbox tried it, since Python's parser is not safe
      with any text; so a sample with an infrastructure error counts as one that does not.
    - `pass@1_completed`: the share that passed of the samples that completed; None if none did.
    - `completion_tokens_mean`, `completion_tokens_median`.

    `by_difficulty`: problems and pass@1 per difficulty, "unknown" where a problem has none.
    `counts` ([samples, passed]), `completed`, `opened` (think) and `think_closed` are numbers of
    samples per problem, in the order of the set of problems that `problem_set` names.

    Raises:
        UserError: there are no samples; samples and verdicts differ; a sample is there twice, or of
            an unknown problem; problems have different numbers of samples; k exceeds that number.
    """
    rows_of = _by_problem(problems, samples, verdicts)
    groups = list(rows_of.values())
    rows = [row for group in groups for row in group]
    counts = [[len(group), _count(group, "passed")] for group in groups]
    n, passed = [count[0] for count in counts], [count[1] for count in counts]
    completed = [row for row in rows if row.completed]
    tokens = [row.completion_tokens for row in rows]
    by_difficulty: dict[str, list[int]] = {}
    for i, problem in enumerate(problems):
        by_difficulty.setdefault(problem.difficulty or "unknown", []).append(i)
    return {
        "metrics": {
            **{f"pass@{size}": _mean(pass_at_k(n, passed, size)) for size in sorted({1, *k})},
            "samples": len(rows),
            "problems": len(problems),
            "completion_rate": len(completed) / len(rows),
            "think_opened_rate": _count(rows, "opened") / len(rows),
            "think_closed_rate": _count(rows, "closed") / len(rows),
            "extracted_rate": _count(rows, "extracted") / len(rows),
            "parsed_rate": _count(rows, "parsed") / len(rows),
            "pass@1_completed": _count(completed, "passed") / len(completed) if completed else None,
            "completion_tokens_mean": statistics.fmean(tokens),
            "completion_tokens_median": float(statistics.median(tokens)),
            "infrastructure_errors": _count(rows, "infrastructure_error"),
        },
        "by_difficulty": {
            name: {
                "problems": len(members),
                "pass@1": _mean(passed[i] / n[i] for i in members),
            }
            for name, members in by_difficulty.items()
        },
        "counts": counts,
        "completed": [_count(group, "completed") for group in groups],
        "opened": [_count(group, "opened") for group in groups],
        "think_closed": [_count(group, "closed") for group in groups],
        "problem_set": {"digest": problem_set_digest(problems), "problems": len(problems)},
    }


@dataclass(frozen=True)
class _Row:
    """What is counted of one sample."""

    completion_tokens: int
    completed: bool
    opened: bool
    closed: bool
    extracted: bool
    parsed: bool
    passed: bool
    infrastructure_error: bool

    @classmethod
    def of(cls, sample: Sample, verdict: Verdict) -> _Row:
        extraction: Extraction = extract(sample.text, sample.finish_reason)
        return cls(
            completion_tokens=sample.completion_tokens,
            completed=sample.finish_reason == "stop",
            opened=extraction.think_opened,
            closed=extraction.think_closed,
            extracted=extraction.code is not None,
            parsed=verdict.status not in ("no_code", "syntax_error", "infrastructure_error"),
            passed=verdict.status == "passed",
            infrastructure_error=verdict.status == "infrastructure_error",
        )


def _by_problem(
    problems: Sequence[Problem], samples: Sequence[Sample], verdicts: Sequence[Verdict]
) -> dict[str, list[_Row]]:
    """The samples of each problem, in the order of the problems."""
    if not samples:
        raise UserError("there are no samples to score")
    keys = [(sample.problem_id, sample.index) for sample in samples]
    if keys != [(verdict.problem_id, verdict.index) for verdict in verdicts]:
        raise UserError(
            f"{len(samples)} samples and {len(verdicts)} verdicts are not of the same answers in "
            "the same order; grade these samples again"
        )
    if len(set(keys)) < len(keys):
        twice = next(key for i, key in enumerate(keys) if key in keys[:i])
        raise UserError(f"sample {twice[1]} of problem {twice[0]!r} is there twice")
    rows: dict[str, list[_Row]] = {problem.id: [] for problem in problems}
    for sample, verdict in zip(samples, verdicts, strict=True):
        if sample.problem_id not in rows:
            raise UserError(f"a sample is of problem {sample.problem_id!r}, which is not given")
        rows[sample.problem_id].append(_Row.of(sample, verdict))
    sizes = {problem_id: len(group) for problem_id, group in rows.items()}
    fewest, most = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
    if sizes[fewest] != sizes[most]:
        raise UserError(
            f"problem {fewest!r} has {sizes[fewest]} samples and problem {most!r} {sizes[most]}: "
            "every problem must have the same number; generate what is missing"
        )
    return rows


def _count(rows: Iterable[_Row], what: str) -> int:
    return sum(getattr(row, what) for row in rows)


def _mean(values: Iterable[float]) -> float:
    return statistics.fmean(map(float, values))
