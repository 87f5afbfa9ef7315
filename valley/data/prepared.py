"""Prepared data: the files that the `prepare` jobs leave, and that every later job reads.

    evaluation job   evaluation.jsonl   problems that students are evaluated on
    pool job         problems.jsonl     problems that the traces answer
                     traces.jsonl       the teacher's pool, each trace with the grader's word on it
                     index.parquet      a row per trace, without its text: selection reads no more
                     lessons.jsonl      prompts and direct answers for a tiny student's first lessons

They are jobs apart, so that another evaluation set trains nothing anew; a third job holds one against
the other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from valley.data.candidates import Reader, counted
from valley.data.chat import PromptName
from valley.data.pool import ListReader, PoolSettings, PoolWriter
from valley.data.problem_file import ProblemFile
from valley.data.problems import Problem, problem_set_digest
from valley.data.render import THINK_CLOSE, THINK_OPEN, instruction, response
from valley.data.subset import CountTokens, Subset, draw_subset
from valley.data.traces import Trace
from valley.errors import UserError
from valley.evaluate.config import GradeConfig
from valley.records import digest, read_records, write_records

NAMED = 5
"""Problems that a message names of those that it tells of."""


@dataclass(frozen=True)
class Lesson:
    """A question with its answer and no thought, as `valley.lesson/1`."""

    SCHEMA: ClassVar[str] = "valley.lesson/1"

    prompt: str
    answer: str


def write_evaluation(
    folder: Path, problems: Collection[Problem], read: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Write the evaluation problems; returns their number and the digest of the set.

    Args:
        read: what the source counted, for messages.

    Raises:
        UserError: there is none, one has no tests, or one stands there twice.
    """
    if not problems:
        raise UserError(f"the evaluation set holds no problem{counted(read or {})}")
    seen: set[str] = set()
    ids = []
    for problem in problems:
        if not problem.tests:
            raise UserError(
                f"evaluation problem {problem.id} has no tests to grade by; leave it out"
            )
        text = instruction(problem)
        if text in seen:
            raise UserError(f"evaluation problem {problem.id} stands there twice; leave one out")
        seen.add(text)
        ids.append(problem.id)
    write_records(folder / "evaluation.jsonl", problems)
    return {"evaluation_problems": len(ids), "problem_set": problem_set_digest(ids)}


def write_pool(
    folder: Path,
    problems: Collection[Problem],
    traces: list[Trace],
    lessons: list[tuple[str, str]],
    config: GradeConfig,
    workers: int,
    settings: PoolSettings | None = None,
    evaluation: Iterable[Problem] = (),
) -> dict[str, Any]:
    """Grade the pool where its correctness is unknown, and write it.

    Args:
        evaluation: the problems that students are asked, for decontamination.

    Returns:
        Counts: problems, traces, lessons, and traces per arm.

    Raises:
        UserError: there is nothing to learn from, a trace has no problem, or the grader could not
            do its work.
    """
    if not traces and not lessons:
        raise UserError("the pool holds no trace and no lesson")
    writer = PoolWriter(folder, settings or PoolSettings(), config, workers, all_problems=True)
    outcome = writer.write(ListReader(problems, traces), evaluation)
    write_records(folder / "lessons.jsonl", (Lesson(*lesson) for lesson in lessons))
    return {**outcome, "lessons": len(lessons)}


def write_streamed_pool(
    writer: PoolWriter, reader: Reader, evaluation: Iterable[Problem] = ()
) -> dict[str, Any]:
    """Write a pool that is too large for memory; it has no lessons.

    Raises:
        UserError: as for `write_pool`.
    """
    outcome = writer.write(reader, evaluation)
    if not outcome["pool_traces"]:
        raise UserError(
            "the pool holds no trace; what was read and left out: " + str(reader.counts())
        )
    write_records(writer.folder / "lessons.jsonl", [])
    return {**outcome, "lessons": 0}


def check_disjoint(evaluation: Path, pool: Path) -> dict[str, Any]:
    """Hold a prepared evaluation set against a prepared pool; returns how many texts were compared.

    Raises:
        UserError: they share a question; names some.
    """
    asked = {
        instruction(problem): problem.id for problem in evaluation_problems(evaluation).values()
    }
    taught = {
        "a training problem": {instruction(problem) for problem in _pool_problems(pool).values()},
        "one of the first lessons": {lesson.prompt for lesson in _lessons(pool)},
    }
    for where, texts in taught.items():
        if shared := sorted(asked.keys() & texts):
            names = ", ".join(asked[text] for text in shared[:NAMED])
            more = ", …" if len(shared) > NAMED else ""
            raise UserError(
                f"{len(shared)} evaluation problems are among the training ones ({names}{more}); {where} "
                f"reads: {shared[0][:80]!r}; leave them out of one side: "
                "`data.clean: {decontaminate: {}}` takes such problems and their traces out of the pool"
            )
    return {"evaluation_problems": len(asked), "training_texts": sum(map(len, taught.values()))}


def evaluation_problems(folder: Path) -> ProblemFile:
    """The problems that students are evaluated on, in the order that counts refer to."""
    return ProblemFile(folder / "evaluation.jsonl")


@dataclass(frozen=True)
class TrainingSet:
    """What a training learns from. Its texts are read where somebody asks for them, and not held."""

    examples: int
    decided_by: str
    """What decides the texts, as a digest."""
    texts: Callable[[], Iterable[tuple[str, str]]]
    """Yields its (prompt, response) pairs."""
    subset: Subset | None
    """What was drawn; lessons are no subset."""


def training_set(
    folder: Path,
    chosen: dict[str, Any] | str,
    data_seed: int,
    count_tokens: CountTokens | None = None,
    prompt: PromptName = "plain",
) -> TrainingSet:
    """The training set of a cell, or of a student's first lessons.

    Args:
        folder: a prepared pool.
        chosen: `lessons`, or the size, difficulty, correctness and controls of a subset.
        count_tokens: needed where `size` counts tokens.
        prompt: how the traces' problems are asked, as `chat.prompt` says.
    """
    if chosen == "lessons":
        lessons = [(lesson.prompt, lesson.answer) for lesson in _lessons(folder)]
        return TrainingSet(len(lessons), digest(lessons), lambda: lessons, None)
    if isinstance(chosen, str):
        raise UserError(
            f"training set {chosen!r}: expected `lessons`, or size, difficulty, correctness"
        )
    subset = draw_subset(folder, chosen, data_seed, count_tokens, prompt)
    return TrainingSet(len(subset.ids), subset.decided_by, subset.texts, subset)


def vocabulary_texts(folder: Path) -> list[str]:
    """Texts of a pool that hold every word a student may meet, for a word-level tokenizer."""
    answers = [response(trace.thinking, trace.answer) for trace in _traces(folder)]
    lessons = [text for lesson in _lessons(folder) for text in (lesson.prompt, lesson.answer)]
    asked = [instruction(problem) for problem in _pool_problems(folder).values()]
    return [THINK_OPEN, THINK_CLOSE, *asked, *answers, *lessons]


def _pool_problems(folder: Path) -> ProblemFile:
    return ProblemFile(folder / "problems.jsonl")


def _traces(folder: Path) -> list[Trace]:
    return read_records(folder / "traces.jsonl", Trace)


def _lessons(folder: Path) -> list[Lesson]:
    return read_records(folder / "lessons.jsonl", Lesson)
