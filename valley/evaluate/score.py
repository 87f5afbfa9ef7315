"""The figures of one cell: pass@k and the rates that tell a valley from an artefact."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from valley.data.flags import flags_of
from valley.data.problems import Problem, problem_set_digest
from valley.errors import UserError
from valley.evaluate.extract import THINK_CLOSE, THINK_OPEN
from valley.evaluate.loops import ends_in_loop
from valley.evaluate.samples import CHEAT, Sample, Verdict
from valley.statistics import pass_at_k


def score(
    problems: Iterable[Problem],
    samples: Iterable[Sample],
    verdicts: Sequence[Verdict],
    k: Iterable[int] = (1,),
) -> dict[str, Any]:
    """Score samples by their verdicts, which are in the same order.

    Every problem must have the same number of samples: the plan fixes the denominator, and a sample
    that is missing is a fault and not a smaller denominator. Infrastructure errors stay in it, as
    not passed, and are shown apart. Problems and samples are gone through once, and need not fit into
    memory.

    `metrics`; a rate is over all samples unless said, and "contains" includes what was prefilled. Where
    no source is named the definition is ours:

    - `pass@k`: unbiased, 1 − C(n−c, k) / C(n, k), mean over problems (Chen et al. 2021, "Evaluating
      Large Language Models Trained on Code"). `pass@1` is always there.
    - `pass@k_unflagged`: the same without the `flagged_problems`, those whose verdicts are in doubt (see
      `flags_of`); None if none is left.
    - `samples`, `problems`, `infrastructure_errors`: counts.
    - `completion_rate`: the answer ended by itself and not at the token limit.
    - `think_opened_rate`, `think_closed_rate`: the answer contains `<think>`, `</think>`. (He et al.
      2025, "The Valley of Code Reasoning", report rates of completion and of think tags, and do not
      define them.)
    - `extracted_rate`: a program was found (see `extract`, and in mode lcb LiveCodeBench's rule).
    - `parsed_rate`: that program compiles. The sandbox tried it, since Python's parser is not safe
      with any text; so a sample with an infrastructure error counts as one that does not.
    - `ran_rate`: it ran to its end, without an error and within all limits, on every test that was
      tried: it passed, or gave a wrong answer.
    - `tests_passed_mean`: the mean over samples of the share of tests passed before the first that was
      not, which ends a sample's grading: a lower bound of the share that it would pass.
    - `pass@1_completed`: the share that passed of the samples that completed; None if none did.
    - `loop_rate`: the share of the truncated samples (those that did not complete) that end in a
      repetition (see `ends_in_loop`); None if all completed.
    - `completion_tokens_mean`, `completion_tokens_median`; `completion_tokens_total` and
      `prompt_tokens_total`, the prompt counted for each sample.
    - `passed_by_cheat`: samples that passed and whose verdict's note says that they cheated, which mode
      lcb cannot prevent.

    `statuses`: samples by status. `by_difficulty`, `by_platform`, `by_month` (of the problem's date, such
    as 2024-08): problems and pass@1 of each, "unknown" where a problem has none. `flags`: the positions
    of the problems with each flag. `counts` ([samples, passed]), `completed`, `opened` (think) and
    `think_closed` are numbers of samples per problem, and `tests_passed` sums over samples of the share
    of tests passed before the first that was not, in the order of the set of problems that `problem_set`
    names.

    Raises:
        UserError: there are no samples; samples and verdicts differ; a sample is there twice, or of
            an unknown problem; problems have different numbers of samples; k exceeds that number.
    """
    headings = [_Heading.of(problem) for problem in problems]
    groups = _by_problem([heading.id for heading in headings], samples, verdicts)
    rows = [row for group in groups for row in group]
    counts = [[len(group), _count(group, "passed")] for group in groups]
    n, passed = [count[0] for count in counts], [count[1] for count in counts]
    completed = [row for row in rows if row.completed]
    truncated = [row for row in rows if not row.completed]
    tokens = [row.completion_tokens for row in rows]
    trusted = [i for i, heading in enumerate(headings) if not heading.flags]

    def pass_at(size: int, members: Sequence[int]) -> float | None:
        if not members:
            return None
        return _mean(pass_at_k([n[i] for i in members], [passed[i] for i in members], size))

    def by(values: Iterable[str | None]) -> dict[str, dict[str, Any]]:
        members: dict[str, list[int]] = {}
        for i, value in enumerate(values):
            members.setdefault(value or "unknown", []).append(i)
        return {
            name: {"problems": len(members[name]), "pass@1": pass_at(1, members[name])}
            for name in members
        }

    sizes = sorted({1, *k})
    return {
        "metrics": {
            **{f"pass@{size}": pass_at(size, range(len(headings))) for size in sizes},
            **{f"pass@{size}_unflagged": pass_at(size, trusted) for size in sizes},
            "samples": len(rows),
            "problems": len(headings),
            "flagged_problems": len(headings) - len(trusted),
            "completion_rate": len(completed) / len(rows),
            "think_opened_rate": _count(rows, "opened") / len(rows),
            "think_closed_rate": _count(rows, "closed") / len(rows),
            "extracted_rate": _count(rows, "extracted") / len(rows),
            "parsed_rate": _count(rows, "parsed") / len(rows),
            "ran_rate": _count(rows, "ran") / len(rows),
            "tests_passed_mean": _mean(row.tests_passed for row in rows),
            "pass@1_completed": _count(completed, "passed") / len(completed) if completed else None,
            "loop_rate": _count(truncated, "looped") / len(truncated) if truncated else None,
            "completion_tokens_mean": statistics.fmean(tokens),
            "completion_tokens_median": float(statistics.median(tokens)),
            "completion_tokens_total": sum(tokens),
            "prompt_tokens_total": sum(row.prompt_tokens for row in rows),
            "passed_by_cheat": _count(rows, "cheated"),
            "infrastructure_errors": _count(rows, "infrastructure_error"),
        },
        "statuses": dict(Counter(verdict.status for verdict in verdicts)),
        "by_difficulty": by(heading.difficulty for heading in headings),
        "by_platform": by(heading.platform for heading in headings),
        "by_month": by(heading.month for heading in headings),
        "flags": {
            flag: [i for i, heading in enumerate(headings) if flag in heading.flags]
            for flag in sorted({flag for heading in headings for flag in heading.flags})
        },
        "counts": counts,
        "completed": [_count(group, "completed") for group in groups],
        "opened": [_count(group, "opened") for group in groups],
        "think_closed": [_count(group, "closed") for group in groups],
        "tests_passed": [round(sum(row.tests_passed for row in group), 6) for group in groups],
        "problem_set": {
            "digest": problem_set_digest(heading.id for heading in headings),
            "problems": len(headings),
        },
    }


@dataclass(frozen=True)
class _Heading:
    """What is told of a problem without its tests."""

    id: str
    difficulty: str | None
    platform: str | None
    month: str | None
    flags: list[str]

    @classmethod
    def of(cls, problem: Problem) -> _Heading:
        month = re.match(r"\d{4}-\d{2}", problem.date or "")
        return cls(
            problem.id,
            problem.difficulty,
            problem.platform,
            month.group() if month else None,
            flags_of(problem),
        )


@dataclass(frozen=True, slots=True)
class _Row:
    """What is counted of one sample."""

    prompt_tokens: int
    completion_tokens: int
    completed: bool
    opened: bool
    closed: bool
    looped: bool
    extracted: bool
    parsed: bool
    ran: bool
    tests_passed: float
    passed: bool
    cheated: bool
    infrastructure_error: bool

    @classmethod
    def of(cls, sample: Sample, verdict: Verdict) -> _Row:
        completed, status = sample.finish_reason == "stop", verdict.status
        return cls(
            prompt_tokens=sample.prompt_tokens,
            completion_tokens=sample.completion_tokens,
            completed=completed,
            opened=THINK_OPEN in sample.text,
            closed=THINK_CLOSE in sample.text,
            looped=not completed and ends_in_loop(sample.text),
            extracted=status != "no_code",
            parsed=status not in ("no_code", "syntax_error", "infrastructure_error"),
            ran=status in ("passed", "wrong_answer"),
            tests_passed=verdict.passed_tests / verdict.total_tests,
            passed=status == "passed",
            cheated=status == "passed" and verdict.note.startswith(CHEAT),
            infrastructure_error=status == "infrastructure_error",
        )


def _by_problem(
    problem_ids: list[str], samples: Iterable[Sample], verdicts: Sequence[Verdict]
) -> list[list[_Row]]:
    """The samples of each problem, in the order of the problems."""
    rows: dict[str, list[_Row]] = {problem_id: [] for problem_id in problem_ids}
    seen: set[tuple[str, int]] = set()
    count, matching = 0, True
    for count, sample in enumerate(samples, start=1):
        key = sample.problem_id, sample.index
        if count > len(verdicts):
            continue
        verdict = verdicts[count - 1]
        matching = matching and key == (verdict.problem_id, verdict.index)
        if not matching:
            continue
        if key in seen:
            raise UserError(f"sample {key[1]} of problem {key[0]!r} is there twice")
        if key[0] not in rows:
            raise UserError(f"a sample is of problem {key[0]!r}, which is not given")
        seen.add(key)
        rows[key[0]].append(_Row.of(sample, verdict))
    if not count:
        raise UserError("there are no samples to score")
    if not matching or count != len(verdicts):
        raise UserError(
            f"{count} samples and {len(verdicts)} verdicts are not of the same answers in "
            "the same order; grade these samples again"
        )
    sizes = {problem_id: len(group) for problem_id, group in rows.items()}
    fewest, most = min(sizes, key=sizes.__getitem__), max(sizes, key=sizes.__getitem__)
    if sizes[fewest] != sizes[most]:
        raise UserError(
            f"problem {fewest!r} has {sizes[fewest]} samples and problem {most!r} {sizes[most]}: "
            "every problem must have the same number; generate what is missing"
        )
    return list(rows.values())


def _count(rows: Iterable[_Row], what: str) -> int:
    return sum(getattr(row, what) for row in rows)


def _mean(values: Iterable[float]) -> float:
    return statistics.fmean(map(float, values))
