"""A training subset: the ids of its traces in their order, with a digest, and their texts.

A cell's training leaves it as `subset.json` beside its outputs, so that what a student has learnt from can
be read without the pool.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from valley.data.arm import Arm, arm_of, too_few
from valley.data.chat import PromptName
from valley.data.index import NOWHERE, Index, Numbers, read_index
from valley.data.perturb import perturbed
from valley.data.problems import Problem
from valley.data.render import instruction, response
from valley.data.select import draw, order, strata
from valley.data.selection_config import PerturbConfig
from valley.data.traces import Trace
from valley.errors import UserError
from valley.records import digest, iterate_records, parse_record, write_json

SCHEMA = "valley.subset/1"
TEXTS = "valley.texts/1"
"""Raise it where prompts, responses or perturbed traces come to be other texts of the same records."""
Text = tuple[str, str]
"""A prompt and the response to it."""
CountTokens = Callable[[str, str], int]
"""The tokens of a prompt with its response, as the student is to read them."""


@dataclass(frozen=True)
class Subset:
    """What a cell learns from."""

    ids: list[str]
    texts: Callable[[], Iterator[Text]]
    """Reads its texts, in the order of the ids."""
    decided_by: str
    """What decides the texts, as a digest, for which none of them is read."""
    counts: dict[str, dict[str, int]]
    """Traces by difficulty, correctness, what said so, teacher and source; "" is none."""
    provenance: dict[str, Any]
    """What it was drawn by."""

    @property
    def digest(self) -> str:
        """Digest of the ids in their order."""
        return digest(self.ids)

    def write(self, path: Path, texts_digest: str) -> None:
        """Write it without the texts.

        Args:
            texts_digest: `digest` of the list of texts.
        """
        said = {
            "schema": SCHEMA,
            "digest": self.digest,
            "texts_digest": texts_digest,
            "traces": len(self.ids),
            "counts": self.counts,
            "provenance": self.provenance,
        }
        write_json(path, said, {"ids": self.ids})


def draw_subset(
    folder: Path,
    chosen: dict[str, Any],
    data_seed: int,
    count_tokens: CountTokens | None = None,
    prompt: PromptName = "plain",
) -> Subset:
    """Draw a set from a prepared pool.

    Args:
        chosen: size, difficulty, correctness, and `controls`, if any.
        count_tokens: needed where `size` counts tokens.
        prompt: how the problems are asked, as `chat.prompt` says.

    Raises:
        UserError: the arm holds fewer, or a chosen trace's text was not kept.
    """
    index, arm, size = read_index(folder), arm_of(chosen), chosen["size"]
    in_tokens = arm.select.size_in == "tokens"
    rows = order(index, arm, data_seed).rows if in_tokens else draw(index, arm, size, data_seed)
    perturb = arm.select.perturb

    def read(some: Numbers) -> Iterator[Text]:
        asked = instructions(folder, index, some, prompt)
        yield from texts(folder, index, some, asked, perturb, data_seed)

    if in_tokens:
        rows = rows[: _within(read(rows), size, arm, count_tokens, index)]
    ids = [index.ids[row] for row in rows.tolist()]
    if index.content is None:  # a pool of an earlier version
        decided_by = digest(list(read(rows)))
    else:
        how = [prompt, perturb.semantic() if perturb else None, data_seed if perturb else None]
        decided_by = digest([TEXTS, index.content, digest(ids), *how])
    return Subset(
        ids=ids,
        texts=lambda: read(rows),
        decided_by=decided_by,
        counts=counts_of(index, rows),
        provenance={"select": chosen, "data_seed": data_seed, "pool": folder.name},
    )


def capacity(folder: Path) -> Callable[[Arm, int], int | None]:
    """Says how much an arm of a prepared pool holds under a `data_seed`; the index is read once, if at all."""
    read = cache(lambda: read_index(folder))

    def held(arm: Arm, data_seed: int) -> int | None:
        if arm.select.size_in == "tokens":
            return None
        return order(read(), arm, data_seed).size

    return held


def counts_of(index: Index, rows: Numbers) -> dict[str, dict[str, int]]:
    """How many of some rows are of which kind."""
    among = np.zeros(len(index), dtype=np.bool_)
    among[rows] = True
    verdicts = np.bincount(index.correct[rows] + 1, minlength=3).tolist()
    named = zip(("unknown", "incorrect", "correct"), verdicts, strict=True)
    return {
        "difficulty": index.difficulty.counts(among),
        "correctness": {name: count for name, count in named if count},
        "correct_by": index.correct_by.counts(among),
        "teacher": index.teacher.counts(among),
        "source": index.source.counts(among),
    }


def instructions(
    folder: Path, index: Index, rows: Numbers, prompt: PromptName = "plain"
) -> dict[str, str]:
    """What students are told of the rows' problems, by id; tests are read and not held."""
    words = index.problem.words
    wanted = {words[code] for code in np.unique(index.problem.codes[rows]).tolist()}
    problems = iterate_records(folder / "problems.jsonl", Problem)
    return {p.id: instruction(p, prompt) for p in problems if p.id in wanted}


def texts(
    folder: Path,
    index: Index,
    rows: Numbers,
    asked: dict[str, str],
    perturb: PerturbConfig | None,
    data_seed: int,
) -> Iterator[Text]:
    """Prompts and responses of rows, in their order, read one by one.

    Args:
        asked: the `instructions` of the rows.

    Raises:
        UserError: a text was not kept, or the file is not the one that the index is of.
    """
    path = folder / "traces.jsonl"
    with path.open("rb") as file:
        for row in rows.tolist():
            offset, size_bytes = index.place_of(row)
            if offset == NOWHERE:
                raise UserError(
                    f"{len(rows)} traces are chosen, and the text of {index.ids[row]} was not kept when "
                    "the pool was prepared; raise data.keep, or set it to null to keep all"
                )
            file.seek(offset)
            trace = parse_record(f"{path}, byte {offset}", file.read(size_bytes), Trace)
            if trace.id != index.ids[row]:
                raise UserError(
                    f"{path}, byte {offset}: trace {trace.id!r} found, {index.ids[row]!r} expected; the "
                    "file was changed after the pool was prepared; remove its folder and launch again"
                )
            if perturb is not None:
                trace = perturbed(trace, perturb, data_seed)
            yield asked[trace.problem_id], response(trace.thinking, trace.answer)


def _within(
    taught: Iterable[Text], size: int, arm: Arm, count_tokens: CountTokens | None, index: Index
) -> int:
    """How many texts, from the first, have at most `size` tokens together."""
    if count_tokens is None:
        raise UserError("data.select.size_in is tokens, and there is no tokenizer to count them by")
    taken = total = 0
    for prompt, answer in taught:
        total += count_tokens(prompt, answer)
        if total > size:
            return taken
        taken += 1
    if total < size:
        raise UserError(too_few(size, arm, total, strata(index)))
    return taken
