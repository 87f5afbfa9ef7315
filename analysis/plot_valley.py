"""Draw a sweep's results so far and print its verdict: `python analysis/plot_valley.py`.

Works on partial results: what is missing is hollow in the figures and listed in `valley.json`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import drawing
from collect import collect_from, sweep_options, write_table
from controls import Document
from figure_controls import behaviour, contrasts
from figure_valley import valley
from summary import summarise

from valley.errors import UserError, exit_on_user_error
from valley.records import write_json

FIGURES = {
    "valley": valley,
    "contrasts": contrasts,
    "behaviour": behaviour,
}


def draw(document: Document, folder: Path) -> list[Path]:
    """Write every figure as PNG and PDF into an existing folder; returns their paths."""
    paths = []
    with drawing.style():
        for name, figure in FIGURES.items():
            paths += drawing.save(figure(document), folder, name)
    return paths


def main() -> int:
    """Write figures, `valley.json` and `results.csv`; the verdict is the last line printed."""
    parser = argparse.ArgumentParser(description="Draw a sweep's results so far, with a verdict.")
    sweep_options(parser)
    parser.add_argument("--profile", help="draw verdicts from this decoding profile")
    parser.add_argument("--out", type=Path, help="default: figures/ in the sweep's folder")
    options = parser.parse_args()
    collected = collect_from(options)
    document = summarise(collected, options.profile)
    folder = options.out or collected.folder / "figures"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_table(collected, folder / "results.csv")
        write_json(folder / "valley.json", document)
        paths = draw(document, folder)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({error.strerror})") from error
    for sentence in collected.damaged:
        print(f"left out: {sentence}")
    for path in paths:
        print(path)
    print(folder / "valley.json")
    for sentence in document["sentences"]:
        print(sentence)
    return 0


if __name__ == "__main__":
    exit_on_user_error(main)
