"""The data card of a prepared pool: what is in it, what was removed, how long its traces are.

    python -m valley.data.card tiny                            # the pools of a sweep
    python -m valley.data.card runs/store/prepare/ab/…-pool-…  # or the folder of one
    python -m valley.data.card FOLDER --tokenizer MODEL --max-tokens 16384

The pool's job leaves `card.json` and `card.md` in its folder, with lengths in characters; this command adds
the figure, `card.png`. With a tokenizer at hand (a sweep's own student, once it is prepared, or
`--tokenizer`) it writes them anew with lengths in tokens, and says how many traces are longer than the
students read.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valley.command_line import add_root
from valley.data.arm import Arm
from valley.data.card_text import PERCENTILES, Card, markdown
from valley.data.index import Index, Numbers, read_index
from valley.data.select import order, strata
from valley.errors import UserError, exit_on_user_error
from valley.records import write_json, write_text

SCHEMA = "valley.card/1"
SAMPLE = 2000
"""Traces whose tokens are counted: those of lowest rank."""
LEAST_BINS = 12
"""Lengths of few doublings have narrower bins, so that there are about so many."""
CORRECTNESSES = ("unknown", "incorrect", "correct")


def card_of(index: Index, outcome: Mapping[str, Any]) -> Card:
    """The card of a pool, with lengths in characters.

    Args:
        outcome: what the pool's job returned, as far as it is there.
    """
    usable = index.usable
    rows = np.flatnonzero(usable)
    verdicts = np.bincount(index.correct[rows] + 1, minlength=3).tolist()
    return {
        "schema": SCHEMA,
        "traces": len(index),
        "usable": len(rows),
        "kept": int(index.kept.sum()),
        "problems": len(np.unique(index.problem.codes[rows])),
        "by": {
            "source": index.source.counts(usable),
            "label": index.label.counts(usable),
            "difficulty": index.difficulty.counts(usable),
            "correctness": dict(zip(CORRECTNESSES, verdicts, strict=True)),
            "what says whether it is correct": index.correct_by.counts(usable),
            "teacher": index.teacher.counts(usable),
        },
        "strata": strata(index),
        "removed": index.removed.counts(~usable),
        "removed_problems": outcome.get("removed"),
        "read": outcome.get("read"),
        "lengths": lengths_of(index.characters[rows], index.correct[rows], "characters"),
        "digests": outcome.get("digests"),
    }


def lengths_of(lengths: Numbers, correct: NDArray[np.int8], unit: str) -> dict[str, Any]:
    """A histogram of lengths by correctness, on bins of equal ratio, and their percentiles."""
    if not len(lengths):
        return {"unit": unit, "traces": 0, "edges": [], "counts": {}, "percentiles": {}}
    doublings = np.log2(np.maximum(lengths, 1))
    per_doubling = next((n for n in (2, 4, 8) if n * np.ptp(doublings) >= LEAST_BINS), 16)
    places = np.floor(doublings * per_doubling).astype(int)
    first, last = int(places.min()), int(places.max())
    edges = [round(2 ** (place / per_doubling), 1) for place in range(first, last + 2)]
    counts = {
        name: np.bincount(
            places[correct == number - 1] - first, minlength=last - first + 1
        ).tolist()
        for number, name in enumerate(CORRECTNESSES)
    }
    found = np.percentile(lengths, PERCENTILES, method="higher").tolist()
    percentiles = {str(one): int(value) for one, value in zip(PERCENTILES, found, strict=True)}
    return {
        "unit": unit,
        "traces": len(lengths),
        "edges": edges,
        "counts": counts,
        "percentiles": percentiles,
    }


def in_tokens(
    folder: Path, index: Index, count: Callable[[list[str]], list[int]], max_tokens: int | None
) -> dict[str, Any]:
    """Lengths of a sample of the kept traces in tokens: question and answer, without the template's own.

    Args:
        count: the tokens of each of some texts.
        max_tokens: what students read at most, if that is known.
    """
    from valley.data.subset import instructions, texts

    ranked = order(index, Arm("all", "all"), 0).rows
    rows = ranked[index.kept[ranked]][:SAMPLE]
    asked = instructions(folder, index, rows)
    pairs = texts(folder, index, rows, asked, None, 0)
    lengths = np.array(count([prompt + answer for prompt, answer in pairs]), dtype=np.int64)
    said = lengths_of(lengths, index.correct[rows], "tokens")
    said["sample_of"] = int(index.kept.sum())
    if max_tokens is not None:
        said["max_tokens"] = max_tokens
        said["too_long"] = int((lengths > max_tokens).sum())
    return said


def write_card(folder: Path, card: Card, figure: bool = True) -> None:
    """Write `card.json`, `card.md` and, where there are lengths to draw, `card.png`."""
    figure = figure and bool(card["lengths"]["traces"])
    write_json(folder / "card.json", card)
    write_text(folder / "card.md", markdown(card, folder.name, figure))
    if figure:
        from valley.data.card_figure import draw_lengths

        draw_lengths(card["lengths"], folder / "card.png")


def pools_of(target: Path, searched: str = "") -> list[Path]:
    """The pool that a folder is; or the pools of a sweep, by its folder.

    Args:
        searched: where else was looked, for the message.

    Raises:
        UserError: it is neither, or nothing is prepared yet.
    """
    if (target / "traces.jsonl").is_file():
        return [target]
    found = [folder for folder in _prepared(target) if (folder / "traces.jsonl").is_file()]
    if not found:
        raise UserError(
            f"{target}: no prepared pool; expected a sweep of this root whose pool is prepared, or the "
            f"folder of a pool below store/prepare{searched}"
        )
    return found


def _prepared(sweep: Path) -> list[Path]:
    """The folders of a sweep's prepare jobs, each once."""
    manifest = sweep / "manifest.jsonl"
    if not manifest.is_file():
        return []
    places: dict[str, None] = {}
    for line in manifest.read_text(encoding="utf-8").splitlines():
        places.update(dict.fromkeys(json.loads(line)["before"]))
    store = sweep.parents[1] / "store"
    return [store / place for place in places if place.startswith("prepare/")]


def _student_of(sweep: Path) -> tuple[Path | None, int | None]:
    """The first prepared student of a sweep, and the longest that its trainings read."""
    import yaml

    students = [folder / "model" for folder in _prepared(sweep)]
    ready = [folder for folder in students if (folder / "tokenizer_config.json").is_file()]
    path = sweep / "sweep.yaml"
    settings = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return (ready[0] if ready else None), settings.get("train", {}).get("max_tokens")


def _counter(folder: Path) -> Callable[[list[str]], list[int]]:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)

    def count(texts: Iterable[str]) -> list[int]:
        return [len(ids) for ids in tokenizer(list(texts), add_special_tokens=False)["input_ids"]]

    return count


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m valley.data.card",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("target", metavar="SWEEP_OR_FOLDER", help="a sweep's name, or a folder")
    add_root(parser)
    parser.add_argument(
        "--tokenizer", type=Path, metavar="FOLDER", help="a model's folder, to count tokens with"
    )
    parser.add_argument(
        "--max-tokens", type=int, metavar="N", help="count the traces that are longer than this"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Write the cards anew where that can tell more, and print them."""
    options = parse(arguments)
    sweep = options.root / "sweeps" / options.target
    named = sweep.is_dir()
    tokenizer, max_tokens = _student_of(sweep) if named else (None, None)
    tokenizer = options.tokenizer or tokenizer
    max_tokens = options.max_tokens or max_tokens
    if options.max_tokens and tokenizer is None:
        raise UserError("--max-tokens needs a tokenizer; give --tokenizer FOLDER")
    searched = "" if named else f" (root: {options.root}, which has no sweep of this name)"
    for folder in pools_of(sweep if named else Path(options.target), searched):
        card = _card(folder)
        if tokenizer is not None:
            index = read_index(folder)
            card["lengths"] = in_tokens(folder, index, _counter(tokenizer), max_tokens)
        try:
            write_card(folder, card)
        except OSError as error:
            raise UserError(
                f"{folder}: the card cannot be written there ({error.strerror}); copy the folder to "
                "where you may write, and name the copy"
            ) from error
        print((folder / "card.md").read_text(encoding="utf-8"))
        print(folder / "card.md")
    return 0


def _card(folder: Path) -> Card:
    path = folder / "card.json"
    if not path.is_file():
        return card_of(read_index(folder), {})
    card = json.loads(path.read_text(encoding="utf-8"))
    if card.get("schema") != SCHEMA:
        raise UserError(f"{path}: schema {card.get('schema')!r} found, {SCHEMA!r} expected")
    return dict(card)


if __name__ == "__main__":
    exit_on_user_error(main)
