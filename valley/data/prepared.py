"""A prepared data set: the files that a `prepare` job leaves, and that every later job reads.

evaluation.jsonl   problems that students are evaluated on
problems.jsonl     problems that the traces answer
traces.jsonl       the teacher's pool, each trace with the grader's word on it
lessons.jsonl      prompts and direct answers for a tiny student's first lessons (may be missing)
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from valley.data.problems import Problem
from valley.data.render import THINK_CLOSE, THINK_OPEN, instruction, response
from valley.data.select import select, strata
from valley.data.traces import Trace
from valley.errors import UserError
from valley.evaluate.config import GradeConfig
from valley.evaluate.grade import grade
from valley.evaluate.samples import Sample
from valley.records import read_lines, read_records, write_records, write_text

Lesson = tuple[str, str]


def write_prepared(
    folder: Path,
    evaluation: list[Problem],
    problems: list[Problem],
    traces: list[Trace],
    lessons: list[Lesson],
    config: GradeConfig,
    workers: int,
) -> dict[str, Any]:
    """Grade the pool where its correctness is unknown, check that no evaluation problem is in it, and
    write everything.

    Returns:
        Counts: problems, traces per arm, duplicates.

    Raises:
        UserError: an evaluation problem is among the training ones, or a trace has no problem.
    """
    check_disjoint(evaluation, problems, lessons)
    traces = grade_traces(problems, traces, config, workers)
    write_records(folder / "evaluation.jsonl", evaluation)
    write_records(folder / "problems.jsonl", problems)
    write_records(folder / "traces.jsonl", traces)
    if lessons:
        lines = (json.dumps({"prompt": p, "answer": a}) for p, a in lessons)
        write_text(folder / "lessons.jsonl", "".join(line + "\n" for line in lines))
    return {
        "evaluation_problems": len(evaluation),
        "pool_problems": len(problems),
        "pool_traces": len(traces),
        "lessons": len(lessons),
        "strata": strata(traces),
    }


def check_disjoint(
    evaluation: list[Problem], problems: list[Problem], lessons: list[Lesson]
) -> None:
    """Refuse an evaluation set that repeats a problem or shares one with any training set.

    Raises:
        UserError: names the first statement found twice.
    """
    seen: set[str] = set()
    for problem in evaluation:
        text = instruction(problem)
        if text in seen:
            raise UserError(f"evaluation problem {problem.id} stands there twice; leave one out")
        seen.add(text)
    for where, texts in (
        ("a training problem", [instruction(p) for p in problems]),
        ("one of the first lessons", [prompt for prompt, _ in lessons]),
    ):
        shared = seen.intersection(texts)
        if shared:
            raise UserError(
                f"{len(shared)} evaluation problems are among the training ones; {where} reads: "
                f"{min(shared)[:80]!r}; leave them out of one side"
            )


def grade_traces(
    problems: list[Problem], traces: list[Trace], config: GradeConfig, workers: int
) -> list[Trace]:
    """Say of each trace of unknown correctness whether its program passes its problem's tests.

    Raises:
        UserError: a trace's problem is missing, or the grader could not do its work.
    """
    known = {problem.id for problem in problems}
    for trace in traces:
        if trace.problem_id not in known:
            raise UserError(
                f"trace {trace.id}: its problem {trace.problem_id!r} is not in the pool"
            )
    unknown = [index for index, trace in enumerate(traces) if trace.correct is None]
    if not unknown:
        return traces
    samples = [
        Sample(
            traces[i].problem_id, i, 0, response(traces[i].thinking, traces[i].answer), "stop", 0, 0
        )
        for i in unknown
    ]
    graded = list(traces)
    for index, verdict in zip(
        unknown, grade(problems, samples, config, workers=workers), strict=True
    ):
        if verdict.status == "infrastructure_error":
            raise UserError(
                f"trace {traces[index].id}: the grader could not run its program; see the log above"
            )
        graded[index] = replace(traces[index], correct=verdict.status == "passed")
    return graded


def evaluation_problems(folder: Path) -> list[Problem]:
    """The problems that students are evaluated on, in the order that counts refer to."""
    return read_records(folder / "evaluation.jsonl", Problem)


def training_texts(folder: Path, chosen: dict[str, Any] | str, data_seed: int) -> list[Lesson]:
    """The (prompt, response) pairs of a training set.

    Args:
        chosen: `lessons`, or the size, difficulty and correctness of a subset.
    """
    if chosen == "lessons":
        return [(row["prompt"], row["answer"]) for _, row in read_lines(folder / "lessons.jsonl")]
    if isinstance(chosen, str):
        raise UserError(
            f"training set {chosen!r}: expected `lessons`, or size, difficulty, correctness"
        )
    problems = {problem.id: problem for problem in read_records(folder / "problems.jsonl", Problem)}
    traces = select(read_records(folder / "traces.jsonl", Trace), **chosen, data_seed=data_seed)
    return [
        (instruction(problems[trace.problem_id]), response(trace.thinking, trace.answer))
        for trace in traces
    ]


def vocabulary_texts(folder: Path) -> list[str]:
    """Texts that hold every word a student may meet, for a word-level tokenizer."""
    problems = evaluation_problems(folder) + read_records(folder / "problems.jsonl", Problem)
    traces = read_records(folder / "traces.jsonl", Trace)
    answers = [response(trace.thinking, trace.answer) for trace in traces]
    return [THINK_OPEN, THINK_CLOSE, *(instruction(problem) for problem in problems), *answers]
