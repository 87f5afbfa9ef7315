"""Kept answers cut at a token cap, with the tokenizer of the student that wrote them, on CPUs and without weights.

1. The generation's job leads to its student's folder, or, where that was pruned, to what it was trained from.
2. Prompts are made again: their lengths in tokens tell whether it is the tokenizer that was used.
3. A text is tokenised again, what was prefilled left out; its first tokens up to the cap are its beginning.

A text need not have the tokens that were generated: a model may write a word in other pieces than the
tokenizer would. The lengths are held against each other, and how many answers differ is told.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from valley.data.problems import Problem
from valley.data.render import Chat
from valley.errors import UserError
from valley.evaluate.generate import Setting
from valley.evaluate.requests import plan_requests
from valley.evaluate.samples import Sample
from valley.job_file import read_job
from valley.weights import MARKER

NO_LIMIT = 1 << 40
"""A context that every prompt fits."""


class CannotCutError(Exception):
    """Why texts cannot be cut, in words that go on after "since" and are the same for all cells."""


@dataclass(frozen=True)
class Shortened:
    """All answers, the longer ones cut; `other_lengths` of these have other tokens than were generated."""

    samples: list[Sample]
    other_lengths: int


def shortened(
    generation: Path, problems: list[Problem], samples: Sequence[Sample], cap: int
) -> Shortened:
    """Answers as they would be had each been cut after `cap` tokens.

    Args:
        generation: the folder of the job that made them.

    Raises:
        CannotCutError: no tokenizer that fits is at hand, or nothing that loads one.
    """
    try:
        setting = Setting.of(read_job(generation).config)
        student = next(_students(generation), None)
    except UserError as error:
        raise CannotCutError(
            "a job.json that leads to the student is missing or damaged"
        ) from error
    if student is None:
        raise CannotCutError("neither the student nor what it was trained from is there")
    try:
        chat = Chat(_tokenizer(student), setting.chat)
        requests = plan_requests(problems, setting.profile, chat, NO_LIMIT, batch_size=1)
    except UserError as error:
        raise CannotCutError(_without(student, error)) from error
    asked = {request.key: request for request in requests.all}
    for sample in samples:
        request = asked.get((sample.problem_id, sample.index))
        if not sample.completion_tokens:
            continue
        if request is None or len(request.prompt) != sample.prompt_tokens:
            raise CannotCutError("the tokenizer at hand makes other prompts than were asked")
        if not sample.text.startswith(request.beginning):
            raise CannotCutError("answers do not begin with what was prefilled")
    long = [i for i, sample in enumerate(samples) if sample.completion_tokens > cap]
    begun = [asked[samples[i].problem_id, samples[i].index].beginning for i in long]
    written = [samples[i].text[len(text) :] for i, text in zip(long, begun, strict=True)]
    found = list(samples)
    other_lengths = 0
    for i, text, tokens in zip(long, begun, chat.tokens(written, literally=True), strict=True):
        # The token that ends an answer is counted, and is not in its text.
        generated = samples[i].completion_tokens - (samples[i].finish_reason == "stop")
        other_lengths += len(tokens) != generated
        rest = chat.tokenizer.decode(tokens[:cap], skip_special_tokens=True)
        found[i] = replace(
            samples[i], text=text + rest, finish_reason="length", completion_tokens=cap
        )
    return Shortened(found, other_lengths)


def _students(job: Path) -> Iterator[Path]:
    """Checkpoints that are there, the nearest to a job first."""
    for folder in read_job(job).inputs.values():
        if (folder / "model" / "tokenizer_config.json").exists() and not (folder / MARKER).exists():
            yield folder / "model"
    if "model" in (inputs := read_job(job).inputs):
        yield from _students(inputs["model"])


def _without(student: Path, error: Exception) -> str:
    """What an error says, without the checkpoint's folder, which would make each cell's reason its own."""
    said = str(error).removeprefix("student ").removeprefix(f"{student}: ")
    return said.replace(str(student), "the student's folder")


def _tokenizer(folder: Path) -> Any:
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # else it speaks of a missing torch
    try:
        from valley.student import load_tokenizer

        return load_tokenizer(folder)
    except ImportError as error:
        raise CannotCutError(f"{error.name} is not installed here") from error
    except (OSError, ValueError) as error:
        raise CannotCutError(
            f"the student's tokenizer does not load ({_without(folder, error)})"
        ) from error
